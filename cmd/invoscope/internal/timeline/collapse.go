package timeline

// Of many attempts that fail alike, the first and the last of them are shown.
const (
	manyAlike  = 8
	firstAlike = 3
	lastAlike  = 2
)

// collapse replaces all but the first and the last of attempts that failed alike,
// one after the other, by a row that says how many there were.
func collapse(root *node) {
	for _, child := range root.children {
		collapse(child)
	}
	groups := cycles(root.children)
	var kept []*node
	for i := 0; i < len(groups); {
		j := i + 1
		for j < len(groups) && groups[i].alike(groups[j]) {
			j++
		}
		if j-i < manyAlike {
			for ; i < j; i++ {
				kept = append(kept, groups[i].nodes...)
			}
			continue
		}
		for _, g := range groups[i : i+firstAlike] {
			kept = append(kept, g.nodes...)
		}
		left := groups[i+firstAlike : j-lastAlike]
		over := groups[j-lastAlike].nodes[0].at.Sub(left[0].nodes[0].at)
		kept = append(kept, &node{kind: waiting, at: left[0].nodes[0].at, text: []piece{
			{red, count(len(left), "more attempt") + " failed alike"},
			{plain, " within " + Duration(over)},
			{dim, " (--all shows them)"},
		}})
		for _, g := range groups[j-lastAlike : j] {
			kept = append(kept, g.nodes...)
		}
		i = j
	}
	if len(groups) > 0 {
		root.children = kept
	}
}

// cycle is an attempt with what follows it up to the next, or what is before the
// first.
type cycle struct {
	nodes  []*node
	failed bool   // and nothing but a wait to be tried again follows
	error  string // what was said of it
}

func cycles(nodes []*node) []cycle {
	var groups []cycle
	for _, n := range nodes {
		if n.attempt != nil || len(groups) == 0 {
			groups = append(groups, cycle{failed: n.attempt != nil && n.attempt.how == "failed"})
		}
		g := &groups[len(groups)-1]
		g.nodes = append(g.nodes, n)
		switch {
		case n.attempt != nil:
			for _, child := range n.children {
				g.failed = g.failed && child.kind == note && child.error == ""
			}
		case n.kind == note && n.error != "":
			g.error = n.error
		case n.kind == branch && !n.now:
			g.failed = false // something else happened
		}
	}
	return groups
}

// alike reports whether both failed for what is the same to a reader.
func (c cycle) alike(other cycle) bool {
	return c.failed && other.failed && c.error == other.error
}
