package invocation

import (
	"encoding/hex"
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
)

func summarize(r *index.Record) Summary {
	s := Summary{
		ID: r.ID.String(), Target: r.Target, Outcome: r.Outcome().String(),
		FirstSeen: timeOf(r.FirstSeen), LastSeen: timeOf(r.LastSeen), AttemptsSeen: len(r.Attempts),
	}
	if f := r.Failure; f.Value != (index.Failure{}) {
		s.Error = &Error{At: timeOf(f.Time), Code: f.Value.Code, Status: f.Value.Status, Message: f.Value.Message}
	}
	return s
}

// facts is what is known of an invocation, and what isn't.
func facts(r *index.Record, rel *index.Relations) Invocation {
	i := Invocation{
		Summary: summarize(r), Final: r.Outcome().Final(),
		Deployment: r.Deployment.Value, Origin: rel.Origin.String(),
		Traces: []Trace{}, Callees: []Callee{}, Gaps: []string{},
	}
	if r.Started != 0 {
		at := timeOf(r.Started)
		i.Started = &at
	}
	if i.Final {
		at := timeOf(r.Ended.Time)
		i.Ended = &at
	}
	for _, t := range r.Traces {
		i.Traces = append(i.Traces, Trace{ID: hex.EncodeToString(t.ID[:]), From: timeOf(t.From), To: timeOf(t.To), Main: t.Main})
	}
	if rel.Caller != nil {
		i.Caller = rel.Caller.String()
	}
	for _, c := range rel.Callees {
		i.Callees = append(i.Callees, Callee{ID: c.ID.String(), Origin: c.Origin.String()})
	}
	for _, g := range gapsOf(r, rel) {
		i.Gaps = append(i.Gaps, g.name)
	}
	return i
}

// gap is something that must have happened but wasn't seen, or isn't shown.
type gap struct{ name, text string }

// gapsOf tells what is missing in the record of an invocation. What didn't come
// can only be told by what did: a gap is certain, no gap is no promise.
func gapsOf(r *index.Record, rel *index.Relations) []gap {
	var gaps []gap
	check := func(missing bool, name, text string) {
		if missing {
			gaps = append(gaps, gap{name, text})
		}
	}
	outcome := r.Outcome()
	tried := len(r.Attempts) > 0
	check(r.Started == 0, "start", "its start wasn't seen")
	check(outcome == index.Completed, "end", "it ended; how wasn't seen")
	check(r.MoreAttempts || outcome == index.Succeeded && !tried, "attempts", "not all of its attempts were seen")
	invoked := rel.Origin == index.Call || rel.Origin == index.Send || r.Cause.Value.Span != index.SpanID{}
	check(rel.Caller == nil && rel.Origin != index.Ingress && invoked, "caller", "who invoked it wasn't seen")
	check(r.MoreTraces, "traces", "it has more traces than are kept")
	check(rel.More, "callees", "it has more callees than are listed")
	return gaps
}

// timeOf is the time of nanoseconds since 1970.
func timeOf(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// none is no invocation.
var none correlate.InvocationID
