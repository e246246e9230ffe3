package timeline

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/invoscope/invoscope/relay/invocation"
)

// Live tells a story as it happens: first the tree of what is there, then a row for
// each event as it comes. Spans come when they have ended, some seconds late, so
// rows aren't in the order of their times; each shows its own.
type Live struct {
	p       *printer
	o       Options
	d       drawing
	told    Told
	seen    map[string]bool
	stories map[string]*story
}

// NewLive prints what is there.
func NewLive(w io.Writer, t Told, o Options) (*Live, error) {
	l := &Live{p: newPrinter(w, o.Style), o: o, told: t, seen: map[string]bool{}, stories: map[string]*story{}}
	f := newFamily(&t, o)
	root := f.tree(f.root())
	root.children = slices.DeleteFunc(root.children, func(n *node) bool { return n.now })
	if !o.All {
		collapse(root)
	}
	f.self.header(l.p)
	l.p.row()
	l.d = drawing{p: l.p, zero: firstTime(root), open: true}
	l.d.children(root, "")
	for _, s := range f.stories {
		l.stories[s.id] = s
	}
	for _, e := range t.Events {
		l.seen[identity(e)] = true
	}
	return l, l.p.flush()
}

// identity tells events apart.
func identity(e *invocation.Event) string {
	if e.Span != nil {
		return e.Span.TraceID + e.Span.SpanID
	}
	return fmt.Sprintf("%d %v %s", e.Time.UnixNano(), e.Log.Labels, e.Log.Line)
}

// Add prints an event, unless it was printed before.
func (l *Live) Add(e *invocation.Event) error {
	id := identity(e)
	if l.seen[id] {
		return nil
	}
	l.seen[id] = true
	whose := e.Invocation
	if whose == "" {
		whose = l.told.Invocation.ID
	}
	s := l.stories[whose]
	if s == nil {
		s = newStory(whose, l.o)
		if whose == l.told.Invocation.ID {
			s.facts = &l.told.Invocation
		}
		l.stories[whose] = s
	}
	s.learn(e)
	if l.d.zero.IsZero() {
		l.d.zero = e.Time
	}
	l.rows(s, e)
	return l.p.flush()
}

// rows prints what e says.
func (l *Live) rows(s *story, e *invocation.Event) {
	root := &node{}
	if e.Log != nil {
		r := s.records[slices.Index(s.events, e)]
		if !below(r.level, l.o.Level) {
			root.add(s.recordNode(e, &r))
		}
		if n := l.change(s, e, &r); n != nil {
			root.add(n)
		}
	} else if n := l.spanNode(s, e); n != nil {
		root.add(n)
	}
	if s.id != l.told.Invocation.ID {
		for _, n := range root.children {
			n.text = append([]piece{of(dim, "["+s.target()+"] ")}, n.text...)
		}
	}
	l.d.children(root, "")
}

func (l *Live) spanNode(s *story, e *invocation.Event) *node {
	switch name := e.Span.Name; {
	case strings.HasPrefix(name, attemptSpan):
		s.tries = s.attempts(false)
		for i, a := range s.tries {
			if a.span == e.Span {
				return s.attemptNode(i, a)
			}
		}
		return nil
	case strings.HasPrefix(name, ingressSpan):
		return requestNode(e, 1)
	case strings.HasPrefix(name, startSpan):
		return s.startNode(e)
	case strings.HasPrefix(name, endSpan):
		return endNode(e)
	}
	return spanNode(e)
}

// change is the row for a line that tells of a change, nil for others.
func (l *Live) change(s *story, e *invocation.Event, r *record) *node {
	n := &node{kind: waiting, at: e.Time}
	switch r.says {
	case saysScheduled:
		if r.wakeUp.IsZero() {
			return nil
		}
		n.text = []piece{{yellow, "scheduled, due " + stamp(r.wakeUp)}}
	case saysSuspended:
		n.text = []piece{{yellow, "suspended"}}
	case saysPaused:
		if !strings.HasPrefix(r.message, "Paused") {
			return nil
		}
		n.text = []piece{{red, "paused until somebody resumes it"}}
	case saysResumed:
		text := "resumed"
		if since := s.before(e, saysSuspended, saysPaused); !since.IsZero() {
			text += " after " + Duration(e.Time.Sub(since))
		}
		n.text = []piece{{yellow, text}}
	case saysAttempt:
		n.kind = branch
		n.text = []piece{{bold, "attempt " + strconv.Itoa(s.attemptsUntil(e.Time))}, {plain, dot + "begins"}}
	default:
		return nil
	}
	return n
}

// before is when the last line before e said one of these, or zero.
func (s *story) before(e *invocation.Event, these ...says) (at time.Time) {
	for i, other := range s.events {
		if slices.Contains(these, s.records[i].says) && other.Time.Before(e.Time) {
			at = other.Time
		}
	}
	return at
}

// attemptsUntil is how many attempts had begun by t.
func (s *story) attemptsUntil(t time.Time) (n int) {
	for _, a := range s.attempts(false) {
		if !a.start.After(t) {
			n++
		}
	}
	return n
}

// ID is the invocation's.
func (l *Live) ID() string { return l.told.Invocation.ID }

// End prints how the invocation stands and what wasn't found.
func (l *Live) End(now invocation.Invocation, gaps []string) error {
	s := l.stories[now.ID]
	if s == nil {
		s = newStory(now.ID, l.o)
	}
	s.facts = &now
	l.p.row()
	l.p.row(append([]piece{of(bold, s.target()), {plain, " "}}, s.standing()...)...)
	for _, gap := range gaps {
		l.p.row(piece{dim, "not complete: " + Clean(gap)})
	}
	return l.p.flush()
}
