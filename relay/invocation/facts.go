package invocation

import (
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
)

func summarize(r *index.Record) Summary {
	s := Summary{
		ID: r.ID.String(), Target: r.Target, Outcome: r.Outcome().String(),
		FirstSeen: timeOf(r.FirstSeen), LastSeen: timeOf(r.LastSeen), AttemptsSeen: len(r.Attempts),
	}
	if f, code := r.Failure, r.ErrorCode; f.Time != 0 || code.Time != 0 {
		s.Error = &Error{At: timeOf(max(f.Time, code.Time)), Code: code.Value, Status: f.Value.Status, Message: f.Value.Message}
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
	if started := r.StartedAt(); started != 0 {
		at := timeOf(started)
		i.Started = &at
	}
	if ended := r.EndedAt(); ended != 0 {
		at := timeOf(ended)
		i.Ended = &at
	}
	for _, t := range r.Traces {
		i.Traces = append(i.Traces, Trace{ID: t.ID.String(), From: timeOf(t.From), To: timeOf(t.To), Main: t.Main})
	}
	if rel.Caller != nil {
		i.Caller = rel.Caller.String()
	}
	for _, c := range rel.Callees {
		i.Callees = append(i.Callees, Callee{ID: c.ID.String(), Origin: c.Origin.String()})
	}
	i.Gaps = append(i.Gaps, gapsOf(r, rel)...)
	return i
}

// gapTexts are the gaps of an invocation in words.
var gapTexts = map[string]string{
	"start":    "its start wasn't seen",
	"end":      "how it ended wasn't seen in a span",
	"attempts": "not all of its attempts were seen",
	"traces":   "it has more traces than are kept, or none was seen",
	"caller":   "who invoked it isn't known",
	"callees":  "it has more callees than are listed",
}

// gapsOf names what must have happened to an invocation but wasn't seen, and lists
// that were cut. What didn't come can only be told by what did: a gap is certain,
// no gap is no promise.
func gapsOf(r *index.Record, rel *index.Relations) []string {
	gaps := r.Gaps()
	if rel.Caller == nil && rel.Origin != index.Ingress {
		gaps = append(gaps, "caller")
	}
	if rel.More {
		gaps = append(gaps, "callees")
	}
	return gaps
}

// timeOf is the time of nanoseconds since 1970.
func timeOf(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// none is no invocation.
var none correlate.InvocationID
