package timeline

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// timeColumn is how wide the column of offsets is.
const timeColumn = 10

// Write tells the story of an invocation, and of its relatives if there are events
// of them.
func Write(w io.Writer, t Told, o Options) error {
	f := newFamily(&t, o)
	top := f.root()
	root := f.tree(top)
	if !o.All {
		collapse(root)
	}
	p := newPrinter(w, o.Style)
	f.self.header(p)
	if len(root.children) > 0 {
		p.row()
	}
	d := drawing{p: p, zero: firstTime(root)}
	if top != f.self {
		p.row(d.time(time.Time{}), of(bold, top.target()), of(dim, " "+top.id), piece{dim, dot + "its caller"})
	}
	d.children(root, "")
	hidden := 0
	for _, s := range f.stories {
		hidden += s.hidden
	}
	footer(p, &t, o, hidden)
	return p.flush()
}

// header is what the invocation is and how it stands.
func (s *story) header(p *printer) {
	p.row(of(bold, s.target()), piece{plain, "  "}, of(dim, s.id))
	p.row(s.standing()...)
}

// standing is how the invocation stands.
func (s *story) standing() []piece {
	pieces := []piece{of(outcomeColor(s.facts.Outcome), s.facts.Outcome)}
	if d, ok := s.lasted(); ok && s.facts.Final {
		pieces = append(pieces, piece{plain, " after " + Duration(d)})
	}
	pieces = append(pieces, piece{plain, dot + count(max(len(s.tries), s.facts.AttemptsSeen), "attempt")})
	if e := s.facts.Error; e != nil && !s.facts.Final {
		pieces = append(pieces, piece{red, dot + strings.TrimSpace("last error "+Clean(e.Code))})
	}
	if !s.facts.FirstSeen.IsZero() {
		pieces = append(pieces, piece{dim, dot + s.facts.FirstSeen.UTC().Format("2006-01-02T15:04:05.000Z")})
	}
	return pieces
}

// count is a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

func footer(p *printer, t *Told, o Options, hidden int) {
	var rows []string
	if hidden > 0 {
		rows = append(rows, count(hidden, "log line")+" below "+Clean(o.Level)+" not shown (--level debug shows all)")
	}
	for _, gap := range t.Gaps {
		rows = append(rows, "not complete: "+Clean(gap))
	}
	if len(t.Events) == 0 {
		rows = append(rows, "no spans and no log lines were found")
	}
	if len(rows) > 0 {
		p.row()
	}
	for _, row := range rows {
		p.row(piece{dim, row})
	}
}

// firstTime is the earliest time in a tree.
func firstTime(n *node) (first time.Time) {
	for _, child := range n.children {
		if first.IsZero() || child.at.Before(first) {
			first = child.at
		}
	}
	return first
}

// drawing puts a tree on a printer.
type drawing struct {
	p    *printer
	zero time.Time // what times are relative to
	open bool      // more may follow at the bottom of the tree
	last string    // the last error that was drawn
}

// time is the column of a row's time; zero is none.
func (d *drawing) time(at time.Time) piece {
	text := ""
	if !at.IsZero() {
		text = offset(at.Sub(d.zero))
	}
	return piece{dim, fmt.Sprintf("%*s  ", timeColumn, text)}
}

// children draws what is below n; rail is drawn before each row.
func (d *drawing) children(n *node, rail string) {
	last := len(n.children) - 1
	for last >= 0 && n.children[last].kind != branch {
		last--
	}
	if d.open && rail == "" {
		last = len(n.children)
	}
	for i, child := range n.children {
		mark, below := "├─ ", "│  "
		switch {
		case i > last: // nothing follows that the rail would lead to
			mark, below = "   ", "   "
		case child.kind == waiting:
			mark, below = "┊  ", "┊  "
		case child.kind == note:
			mark = "│  "
		case i == last:
			mark, below = "└─ ", "   "
		}
		at := child.at
		if child.kind == waiting {
			at = time.Time{}
		}
		text, detail := child.text, child.detail
		if child.error != "" && child.error == d.last {
			text, detail = append(slices.Clip(text), piece{dim, " (the same error)"}), nil
		} else if child.error != "" {
			d.last = child.error
		}
		d.p.row(append([]piece{d.time(at), {dim, rail + mark}}, text...)...)
		indent := rail + below
		if child.kind == note {
			indent += "      " // behind the level
		}
		for _, text := range detail {
			d.p.row(d.time(time.Time{}), piece{dim, indent}, of(plain, text))
		}
		d.children(child, rail+below)
	}
}
