package timeline

import (
	"strings"
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/relay/invocation"
)

// Told is what the invocation API told of an invocation.
type Told struct {
	Invocation invocation.Invocation
	Events     []*invocation.Event // in their order
	Gaps       []string            // of the timeline
}

// family is the stories of an invocation and its relatives.
type family struct {
	self    *story
	stories []*story          // self among them, in the order of their first events
	owner   map[string]*story // by span id
	parent  map[*story]*story
	verb    map[*story]string // how it was invoked: call, send or invoke, if that isn't known
}

// newFamily sorts what was told by invocation.
func newFamily(t *Told, o Options) *family {
	f := &family{owner: map[string]*story{}, parent: map[*story]*story{}, verb: map[*story]string{}}
	byID := map[string]*story{}
	relation := map[*story]string{}
	of := func(id string) *story {
		s := byID[id]
		if s == nil {
			s = newStory(id, o)
			byID[id] = s
			f.stories = append(f.stories, s)
		}
		return s
	}
	f.self = newStory(t.Invocation.ID, o)
	f.self.facts = &t.Invocation
	byID[t.Invocation.ID] = f.self
	first := true
	for _, e := range t.Events {
		s := f.self // of an event that is nobody's, too
		if e.Invocation != "" && e.Invocation != f.self.id {
			s = of(e.Invocation)
			relation[s] = e.Relation
		} else if first {
			f.stories = append(f.stories, f.self)
			first = false
		}
		s.learn(e)
		if e.Span != nil {
			f.owner[e.Span.SpanID] = s
		}
	}
	if first {
		f.stories = append(f.stories, f.self)
	}
	f.relate(byID, relation)
	return f
}

// relate finds out who invoked whom: a call's span has its caller's as parent, and
// of a send the sender's log tells. Otherwise a callee is taken to be self's, and
// self its caller's.
func (f *family) relate(byID map[string]*story, relation map[*story]string) {
	told := map[*story]*story{}
	for _, s := range f.stories {
		for _, r := range s.records {
			if callee := byID[r.invokes]; callee != nil && callee != s {
				told[callee] = s
			}
		}
	}
	var above *story // the nearest of self's callers
	for _, s := range f.stories {
		if relation[s] == "caller" {
			above = s
		}
	}
	for _, s := range f.stories {
		start := s.span(startSpan)
		switch {
		case start != nil && f.owner[start.Span.ParentSpanID] != nil && f.owner[start.Span.ParentSpanID] != s:
			f.parent[s] = f.owner[start.Span.ParentSpanID]
		case told[s] != nil:
			f.parent[s] = told[s]
		case s == f.self && above != nil:
			f.parent[s] = above
		case relation[s] == "callee":
			f.parent[s] = f.self
		}
		f.verb[s] = f.howInvoked(s, start)
	}
}

// howInvoked tells a call, whose span has a parent, from a send, whose span has none.
// Before that span comes, the API may know.
func (f *family) howInvoked(s *story, start *invocation.Event) string {
	how := ""
	if s == f.self {
		how = s.facts.Origin
	}
	for _, c := range f.self.facts.Callees {
		if c.ID == s.id {
			how = c.Origin
		}
	}
	switch {
	case how == "call", how == "send":
		return how
	case start == nil:
		return "invoke"
	case start.Span.ParentSpanID == "":
		return "send"
	}
	return "call"
}

// root is the story at the top of self's: its first caller, or self.
func (f *family) root() *story {
	top := f.self
	for range f.stories { // who is his own ancestor is on top, too
		if f.parent[top] == nil {
			break
		}
		top = f.parent[top]
	}
	return top
}

// tree is the tree of top with those of its callees in it.
func (f *family) tree(top *story) *node { return f.grow(top, map[*story]bool{}) }

func (f *family) grow(s *story, seen map[*story]bool) *node {
	seen[s] = true
	root := s.tree()
	var tries []*node
	for _, n := range root.children {
		if n.attempt != nil {
			tries = append(tries, n)
		}
	}
	for _, child := range f.stories {
		if f.parent[child] != s || seen[child] || len(child.events) == 0 {
			continue
		}
		child.below = true
		n := f.title(child)
		n.children = f.grow(child, seen).children
		f.attach(root, tries, child, n)
	}
	root.sort()
	return root
}

// attach puts a callee's tree into that of its caller: under the attempt whose span
// is its parent, or else where its time is.
func (f *family) attach(root *node, tries []*node, child *story, n *node) {
	if start := child.span(startSpan); start != nil {
		for _, try := range tries {
			if a := try.attempt.span; a != nil && a.SpanID == start.Span.ParentSpanID {
				place(root, tries, try, n)
				return
			}
		}
	}
	place(root, tries, nil, n)
}

// title is the row of a relative.
func (f *family) title(s *story) *node {
	// Restate knows a start to the millisecond only. What caused it came before.
	at := s.events[0].Time
	if s.events[0].Span != nil && at.Equal(at.Truncate(time.Millisecond)) {
		at = at.Add(time.Millisecond - 1)
	}
	n := &node{kind: branch, at: at, text: []piece{{bold, f.verb[s] + " "}, of(bold, s.target()), of(dim, " "+s.id)}}
	n.text = append(n.text, s.summary()...)
	return n
}

// target is the invocation's, as far as it is told.
func (s *story) target() string {
	if s.facts != nil && s.facts.Target != "" {
		return s.facts.Target
	}
	for _, e := range s.events {
		if e.Span != nil {
			if target, ok := e.Span.Attributes["restate.invocation.target"].(string); ok {
				return target
			}
			if _, target, ok := strings.Cut(e.Span.Name, " "); ok && strings.HasPrefix(e.Span.Name, "invocation-") {
				return target
			}
		}
	}
	for _, e := range s.events {
		if e.Log != nil && e.Log.Metadata[correlate.MetaTarget] != "" {
			return e.Log.Metadata[correlate.MetaTarget]
		}
	}
	return "(target not known)"
}

// summary is the outcome and how long it took, for the end of a row.
func (s *story) summary() []piece {
	outcome := s.outcome()
	if outcome == "" {
		return nil
	}
	text := []piece{{plain, dot}, of(outcomeColor(outcome), outcome)}
	if d, ok := s.lasted(); ok {
		text = append(text, piece{plain, " after " + Duration(d)})
	}
	return text
}
