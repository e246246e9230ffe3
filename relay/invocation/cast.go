package invocation

import (
	"context"
	"errors"
	"fmt"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
)

const (
	// maxCast bounds the invocations of one timeline.
	maxCast = 64
	// maxCastTraces bounds the traces of one timeline.
	maxCastTraces = 256
)

// The relations of an event.
const (
	relationSelf   = "self"
	relationCaller = "caller"
	relationCallee = "callee"
	relationTrace  = "trace"
)

// cast is the invocations that a timeline tells of.
type cast struct {
	self     index.Record
	members  map[correlate.InvocationID]string // to their relation
	ids      []correlate.InvocationID          // self first
	traces   []traceRange                      // self's main ones first
	seen     map[index.TraceID]int             // index in traces
	known    map[index.SpanID]correlate.InvocationID
	from, to int64 // from when to when there may be something, in nanoseconds since 1970
	gaps     []string
}

// relatives says which of an invocation's relatives a timeline tells of.
type relatives struct {
	callers, callees bool
	depth            int
}

// cast finds the invocations of a timeline.
func (a *API) cast(ctx context.Context, tenant string, id correlate.InvocationID, want relatives) (*cast, error) {
	rec, err := a.record(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	rel, err := a.opts.Index.Relations(ctx, tenant, &rec, maxCast)
	if err != nil {
		return nil, indexFault(err)
	}
	c := &cast{
		self: rec, members: map[correlate.InvocationID]string{},
		seen: map[index.TraceID]int{}, known: map[index.SpanID]correlate.InvocationID{},
	}
	for _, g := range gapsOf(&rec, &rel) {
		if g != "callees" { // a timeline lists none
			c.gaps = append(c.gaps, g+": "+gapTexts[g])
		}
	}
	from, to := a.extent(&rec)
	c.add(&rec, relationSelf, from, to)
	if want.callers {
		err = errors.Join(err, a.addCallers(ctx, tenant, c, rel, want.depth))
	}
	if want.callees {
		err = errors.Join(err, a.addCallees(ctx, tenant, c, rel, want.depth))
	}
	return c, err
}

// add takes an invocation into the cast.
func (c *cast) add(rec *index.Record, relation string, from, to int64) {
	if len(c.ids) == 0 {
		c.from, c.to = from, to
	}
	c.from, c.to = max(0, min(c.from, from)), max(c.to, to)
	c.members[rec.ID] = relation
	c.ids = append(c.ids, rec.ID)
	c.know(index.SpanID(rec.ID.UUID[8:]), rec.ID) // its start span
	c.know(rec.Ingress.Value, rec.ID)
	for _, span := range rec.Attempts {
		c.know(span, rec.ID)
	}
	for _, main := range []bool{true, false} {
		for _, t := range rec.Traces {
			if t.Main == main {
				c.addTrace(traceRange{t.ID, min(t.From, lastTime), min(t.To, lastTime)})
			}
		}
	}
}

// know notes whose a span is, for when the span itself wasn't seen. Of one that
// two invocations claim nothing is known.
func (c *cast) know(span index.SpanID, id correlate.InvocationID) {
	if other, claimed := c.known[span]; span == (index.SpanID{}) || claimed && other != id {
		id = none
	}
	c.known[span] = id
}

func (c *cast) addTrace(t traceRange) {
	if i, ok := c.seen[t.id]; ok {
		had := &c.traces[i]
		had.from, had.to = min(had.from, t.from), max(had.to, t.to)
		return
	}
	if len(c.traces) == maxCastTraces {
		c.addGap(fmt.Sprintf("traces: no more than %d are looked at", maxCastTraces))
		return
	}
	c.seen[t.id] = len(c.traces)
	c.traces = append(c.traces, t)
}

// addGap notes a gap once.
func (c *cast) addGap(text string) {
	for _, g := range c.gaps {
		if g == text {
			return
		}
	}
	c.gaps = append(c.gaps, text)
}

// addCallers takes in who invoked it, who invoked that, and so on.
func (a *API) addCallers(ctx context.Context, tenant string, c *cast, rel index.Relations, depth int) error {
	for ; depth > 0 && rel.Caller != nil; depth-- {
		rec, ok, err := a.addRelative(ctx, tenant, c, *rel.Caller, relationCaller)
		if err != nil || !ok {
			return err
		}
		if rel, err = a.opts.Index.Relations(ctx, tenant, &rec, 1); err != nil {
			return indexFault(err)
		}
	}
	return nil
}

// addCallees takes in whom it invoked, whom those invoked, and so on.
func (a *API) addCallees(ctx context.Context, tenant string, c *cast, rel index.Relations, depth int) error {
	level := []index.Relations{rel}
	for ; depth > 0 && len(level) > 0; depth-- {
		var below []index.Relations
		for _, rel := range level {
			if rel.More {
				c.addGap("callees: not all of them are told of")
			}
			for _, callee := range rel.Callees {
				rec, ok, err := a.addRelative(ctx, tenant, c, callee.ID, relationCallee)
				if err != nil {
					return err
				}
				if !ok || depth == 1 {
					continue
				}
				next, err := a.opts.Index.Relations(ctx, tenant, &rec, maxCast)
				if err != nil {
					return indexFault(err)
				}
				below = append(below, next)
			}
		}
		level = below
	}
	return nil
}

// addRelative takes in an invocation that isn't there yet, if there is room.
func (a *API) addRelative(ctx context.Context, tenant string, c *cast, id correlate.InvocationID, relation string) (rec index.Record, ok bool, err error) {
	if _, there := c.members[id]; there {
		return rec, false, nil
	}
	if len(c.ids) == maxCast {
		c.addGap(fmt.Sprintf("%ss: no more than %d invocations are told of", relation, maxCast))
		return rec, false, nil
	}
	rec, err = a.opts.Index.Get(ctx, tenant, id)
	if errors.Is(err, index.ErrNotFound) {
		c.addGap(relation + "s: nothing is known of " + id.String())
		return rec, false, nil
	}
	if err != nil {
		return rec, false, indexFault(err)
	}
	from, to := a.extent(&rec)
	c.add(&rec, relation, from, to)
	return rec, true, nil
}
