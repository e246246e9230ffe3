package timeline

import (
	"slices"
	"time"
)

// kind is what a node of the tree is.
type kind int

const (
	branch  kind = iota // an attempt, a span, an invocation: has a connector
	note                // a log line: stands beside the rail
	waiting             // a wait: interrupts the rail
)

// node is a row of the tree, with what belongs to it.
type node struct {
	kind     kind
	at       time.Time // zero: shows no time
	order    int       // among nodes of one time
	text     []piece
	detail   []string // further rows of the same text
	children []*node
	error    string // what a retry says, to tell whether it is the same again
	attempt  *attempt
	now      bool // how it stands
}

// add puts child under n.
func (n *node) add(child *node) { n.children = append(n.children, child) }

// sort orders the tree by time, and nodes of one time as they were added but for
// their order. How it stands is last.
func (n *node) sort() {
	slices.SortStableFunc(n.children, func(a, b *node) int {
		if a.now != b.now {
			if a.now {
				return 1
			}
			return -1
		}
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.order - b.order
	})
	for _, child := range n.children {
		child.sort()
	}
}
