package timeline

import (
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/invoscope/invoscope/relay/invocation"
)

// attempt is one try of an invocation: a span or, as long as that hasn't come, what
// log lines tell of it.
type attempt struct {
	span       *invocation.SpanEvent // nil if it wasn't seen
	start, end time.Time             // end is zero while it runs
	how        string                // ended, failed, suspended, yielded, running, or "" if unknown
}

// last is when the attempt is over, for those that look back.
func (a *attempt) last() time.Time {
	if a.end.IsZero() {
		return a.start
	}
	return a.end
}

// holds reports whether t is within the attempt. What tells of an attempt's end
// stands behind it.
func (a *attempt) holds(t time.Time) bool {
	switch {
	case t.Before(a.start):
		return false
	case a.end.IsZero():
		return true
	case a.span == nil:
		return t.Before(a.end)
	}
	return !t.After(a.end)
}

const (
	attemptSpan   = "invocation-attempt "
	startSpan     = "invocation-start "
	endSpan       = "invocation-end "
	ingressSpan   = "ingress "
	pointPrefix   = "restate.invocation.lifecycle."
	suspendedName = pointPrefix + "suspended"
	yieldedName   = pointPrefix + "yielded"
)

func spanAttempt(e *invocation.Event) *attempt {
	a := &attempt{span: e.Span, start: e.Time, end: e.Span.End, how: "ended"}
	switch {
	case e.Span.Status == "error":
		a.how = "failed"
	case hasPoint(e.Span, suspendedName):
		a.how = "suspended"
	case hasPoint(e.Span, yieldedName):
		a.how = "yielded"
	case e.Span.Status != "ok":
		a.how = ""
	}
	return a
}

func hasPoint(s *invocation.SpanEvent, name string) bool {
	return slices.ContainsFunc(s.Events, func(p invocation.SpanPoint) bool { return p.Name == name })
}

// near is how far apart the beginning of an attempt's span and the log line of the
// same attempt may be. Measured: 10 µs.
const near = 20 * time.Millisecond

// attempts are those of the story, by time: those of spans, and those that only log
// lines tell of. final says that the invocation is over.
func (s *story) attempts(final bool) []*attempt {
	var all []*attempt
	for _, e := range s.events {
		if e.Span != nil && strings.HasPrefix(e.Span.Name, attemptSpan) {
			all = append(all, spanAttempt(e))
		}
	}
	ofSpans := all
	for i, e := range s.events {
		if s.records[i].says == saysAttempt && !seen(ofSpans, e.Time) {
			all = append(all, s.lineAttempt(i, final))
		}
	}
	slices.SortStableFunc(all, func(a, b *attempt) int { return a.start.Compare(b.start) })
	return all
}

// seen reports whether one of the attempts, which are by time, is the one that a
// line at t says to begin.
func seen(attempts []*attempt, t time.Time) bool {
	i := sort.Search(len(attempts), func(i int) bool { return attempts[i].start.After(t.Add(near)) })
	return i > 0 && !t.After(attempts[i-1].last().Add(near))
}

// lineAttempt is an attempt that begins with the i-th event and whose span wasn't
// seen. It lasts until a line or a span tells that it is over.
func (s *story) lineAttempt(i int, final bool) *attempt {
	a := &attempt{start: s.events[i].Time, how: "running"}
	for j := i + 1; j < len(s.events); j++ {
		e := s.events[j]
		switch s.records[j].says {
		case saysRetry, saysPaused:
			a.end, a.how = e.Time, "failed"
		case saysSuspended:
			a.end, a.how = e.Time, "suspended"
		case saysAttempt:
			a.end, a.how = e.Time, ""
		}
		if e.Span != nil && (strings.HasPrefix(e.Span.Name, endSpan) || strings.HasPrefix(e.Span.Name, attemptSpan)) {
			a.end, a.how = e.Time, ""
		}
		if !a.end.IsZero() {
			return a
		}
	}
	if final {
		a.how = ""
		if s.facts != nil && s.facts.Ended != nil && s.facts.Ended.After(a.start) {
			a.end = *s.facts.Ended
			if s.facts.Outcome == "succeeded" {
				a.how = "ended"
			}
		}
	}
	return a
}

// wait is the time between two attempts, or after the last.
type wait struct {
	from, to time.Time // to is zero while it lasts
	at       time.Time // where it stands in the tree: behind the line that tells of it
	why      string    // suspended, paused, retry, or "" if unknown
}

// waitAfter is what the invocation did between a and to, which is zero for now.
func (s *story) waitAfter(a *attempt, to time.Time) wait {
	w := wait{from: a.last(), to: to, at: a.last()}
	switch a.how {
	case "suspended":
		w.why = "suspended"
	case "failed":
		w.why = "retry"
	}
	// A suspension is told of by its span, and a little later by the partition.
	first := sort.Search(len(s.events), func(i int) bool { return !s.events[i].Time.Before(w.from) })
	for i := first; i < len(s.events); i++ {
		e := s.events[i]
		if !to.IsZero() && e.Time.After(to) {
			break
		}
		switch s.records[i].says {
		case saysPaused:
			w.why = "paused"
		case saysSuspended:
			w.why = "suspended"
		case saysRetry:
		default:
			continue
		}
		w.at = e.Time
	}
	return w
}
