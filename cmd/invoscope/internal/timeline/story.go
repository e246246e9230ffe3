package timeline

import (
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/invoscope/invoscope/relay/invocation"
)

// Options says what to tell and how.
type Options struct {
	Style
	Now time.Time
	// Level is the lowest level of log lines that are shown, such as INFO. Lines
	// without a level are always shown.
	Level string
	// All shows each of many attempts that failed alike.
	All bool
}

// story is what is told of one invocation.
type story struct {
	Options
	id      string
	facts   *invocation.Invocation // of the one that was asked for, else nil
	events  []*invocation.Event    // by time
	records []record               // of the events that are log lines
	tries   []*attempt
	hidden  int  // log lines below the level
	below   bool // it stands below who invoked it
}

func newStory(id string, o Options) *story { return &story{Options: o, id: id} }

// learn adds an event where its time belongs.
func (s *story) learn(e *invocation.Event) {
	var r record
	if e.Log != nil {
		r = readRecord(e.Log, s.id)
	}
	i := sort.Search(len(s.events), func(i int) bool { return s.events[i].Time.After(e.Time) })
	s.events, s.records = slices.Insert(s.events, i, e), slices.Insert(s.records, i, r)
}

// span returns the last span of the story whose name begins with prefix, or nil.
func (s *story) span(prefix string) *invocation.Event {
	for i := len(s.events) - 1; i >= 0; i-- {
		if e := s.events[i]; e.Span != nil && strings.HasPrefix(e.Span.Name, prefix) {
			return e
		}
	}
	return nil
}

// final reports whether the invocation is over.
func (s *story) final() bool {
	return s.facts != nil && s.facts.Final || s.span(endSpan) != nil
}

// outcome is the outcome's name, as far as the story knows.
func (s *story) outcome() string {
	if s.facts != nil {
		return s.facts.Outcome
	}
	if end := s.span(endSpan); end != nil {
		if end.Span.Status == "error" {
			return "failed"
		}
		return "succeeded"
	}
	return ""
}

// ended is when the invocation ended, or zero.
func (s *story) ended() time.Time {
	if end := s.span(endSpan); end != nil {
		return end.Time
	}
	if s.facts != nil && s.facts.Ended != nil {
		return *s.facts.Ended
	}
	return time.Time{}
}

// lasted is from the story's start to its end, or false while it isn't known.
func (s *story) lasted() (time.Duration, bool) {
	first, last := time.Time{}, s.ended()
	if start := s.span(startSpan); start != nil {
		first = start.Time
	}
	if s.facts != nil && s.facts.Started != nil && first.IsZero() {
		first = *s.facts.Started
	}
	if first.IsZero() || last.IsZero() || last.Before(first) {
		return 0, false
	}
	return last.Sub(first), true
}

// tree is the story as a node without a text of its own.
func (s *story) tree() *node {
	// Our clock may be behind the server's.
	if n := len(s.events); n > 0 && s.Now.Before(s.events[n-1].Time) {
		s.Now = s.events[n-1].Time
	}
	s.tries = s.attempts(s.final())
	root := &node{}
	bySpan := map[string]*node{}
	tries := make([]*node, len(s.tries))
	for i, a := range s.tries {
		tries[i] = s.attemptNode(i, a)
		root.add(tries[i])
		if a.span != nil {
			bySpan[a.span.SpanID] = tries[i]
		}
		to := time.Time{}
		if i+1 < len(s.tries) {
			to = s.tries[i+1].start
		}
		if n := s.waitNode(a, to); n != nil {
			root.add(n)
		}
	}
	s.addSpans(root, tries, bySpan)
	s.addRecords(root, tries)
	if n := s.scheduledNode(); n != nil {
		root.add(n)
	}
	if s.facts != nil && s.facts.Ended != nil && s.span(endSpan) == nil {
		root.add(&node{kind: branch, at: *s.facts.Ended, order: 1, text: []piece{
			of(outcomeColor(s.facts.Outcome), s.facts.Outcome), {dim, dot + "the span of its end didn't come"},
		}})
	}
	root.sort()
	if !s.final() && len(s.events) > 0 {
		root.add(s.nowNode())
	}
	return root
}

// addSpans adds the spans that aren't attempts: those that have a parent in the
// story below it, others where their time belongs.
func (s *story) addSpans(root *node, tries []*node, bySpan map[string]*node) {
	requests := 0
	for _, e := range s.events {
		if e.Span == nil || strings.HasPrefix(e.Span.Name, attemptSpan) {
			continue
		}
		var n *node
		switch name := e.Span.Name; {
		case strings.HasPrefix(name, ingressSpan):
			requests++
			n = requestNode(e, requests)
		case strings.HasPrefix(name, startSpan):
			n = s.startNode(e)
		case strings.HasPrefix(name, endSpan):
			n = endNode(e)
		default:
			n = spanNode(e)
			place(root, tries, bySpan[e.Span.ParentSpanID], n)
			bySpan[e.Span.SpanID] = n
			continue
		}
		if n != nil {
			root.add(n)
		}
	}
}

// addRecords adds the log lines that aren't below the level.
func (s *story) addRecords(root *node, tries []*node) {
	for i, e := range s.events {
		if e.Log == nil {
			continue
		}
		if below(s.records[i].level, s.Level) {
			s.hidden++
			continue
		}
		place(root, tries, nil, s.recordNode(e, &s.records[i]))
	}
}

// place puts n under its parent, else under the attempt that holds its time, else
// under root.
func place(root *node, tries []*node, parent, n *node) {
	if parent != nil {
		parent.add(n)
		return
	}
	// Attempts don't overlap, so it is the last that began before.
	i := sort.Search(len(tries), func(i int) bool { return tries[i].attempt.start.After(n.at) })
	if i > 0 && tries[i-1].attempt.holds(n.at) {
		tries[i-1].add(n)
		return
	}
	root.add(n)
}

// levels are those of log lines, the lowest first.
var levels = []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR"}

func rank(level string) int {
	switch level = strings.ToUpper(level); level {
	case "WARNING":
		return 3
	case "FATAL", "CRITICAL":
		return 4
	}
	for i, l := range levels {
		if l == level {
			return i
		}
	}
	return -1
}

// below reports whether level is known and lower than least.
func below(level, least string) bool {
	n := rank(level)
	return n >= 0 && n < rank(least)
}
