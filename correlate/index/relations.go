package index

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/invoscope/invoscope/correlate"
)

// Relative is an invocation that another one invoked.
type Relative struct {
	ID     correlate.InvocationID
	Origin Origin // Call, Send, or OriginUnknown when only a log line told
}

// Relations is whom an invocation is related to.
type Relations struct {
	Origin  Origin
	Caller  *correlate.InvocationID // nil when there is none, or it isn't known
	Callees []Relative              // without repeats
	// More is set when there are more callees than were asked for.
	More bool
}

// Relations implements [Reader].
func (x *Index) Relations(ctx context.Context, tenant string, r *Record, limit int) (Relations, error) {
	var rel Relations
	if err := x.origin(ctx, tenant, r, &rel); err != nil {
		return Relations{}, err
	}
	search := calleeSearch{x: x, tenant: tenant, r: r, limit: limit, found: map[correlate.InvocationID]int{}, rel: &rel}
	if err := search.spans(ctx); err != nil {
		return Relations{}, err
	}
	return rel, nil
}

// origin finds out how the latest run of r came to be. A parent that is neither its
// ingress span nor a known attempt says nothing: it may be a span that was lost. Nor does
// what was told of an earlier run, or who called when it ran already.
func (x *Index) origin(ctx context.Context, tenant string, r *Record, rel *Relations) error {
	var cause Cause
	if r.beganAt(r.Cause.Time) {
		cause = r.Cause.Value
	}
	if cause.Span != (SpanID{}) && cause.Span == r.Ingress.Value {
		rel.Origin = Ingress
		return nil
	}
	if cause.Span != (SpanID{}) {
		caller, err := x.invocationOf(ctx, tenant, cause.Span)
		if err != nil {
			return err
		}
		if caller != nil {
			rel.Origin, rel.Caller = cause.Origin, caller
			return nil
		}
	}
	if r.Caller.Time != 0 && r.beganAt(r.Caller.Time) {
		caller := r.Caller.Value
		rel.Origin, rel.Caller = r.told(cause.Origin), &caller
		return nil
	}
	switch {
	case cause.Origin == Send:
		rel.Origin = Send
	case cause.Span == (SpanID{}) && r.Requested != 0 && r.beganAt(r.Requested) && r.Requested <= max(r.Started, r.Begun):
		// Requests for what runs already, such as a repeated idempotent call, come
		// after its start.
		rel.Origin = Ingress
	}
	return nil
}

// told is an origin that may not have been told: what waits for its time was sent,
// since a call has no delay.
func (r *Record) told(o Origin) Origin {
	if o == OriginUnknown && r.State.Value == Scheduled {
		return Send
	}
	return o
}

// invocationOf returns the invocation that a span is an attempt of, or nil. Of
// Restate 1.6 it is the start span that callees name.
func (x *Index) invocationOf(ctx context.Context, tenant string, span SpanID) (*correlate.InvocationID, error) {
	value, err := x.store.Get(ctx, tenant, attemptKey(span))
	if err != nil {
		return nil, fmt.Errorf("read the invocation index: %w", err)
	}
	ref, isStart := span, true
	if len(value) == refLen {
		ref, isStart = SpanID(value), false
	}
	bucket, err := x.bucket(ctx, tenant, ref)
	if err != nil {
		return nil, err
	}
	for i := range bucket {
		if r := &bucket[i]; isStart || len(bucket) == 1 || r.hasAttempt(span) {
			return &r.ID, nil
		}
	}
	return nil, nil
}

func (r *Record) hasAttempt(span SpanID) bool {
	_, has := slices.BinarySearchFunc(r.Attempts, span, compareSpans)
	return has
}

// calleePage is how many callees are read at once.
const calleePage = 256

// calleeSearch collects whom r invoked.
type calleeSearch struct {
	x      *Index
	tenant string
	r      *Record
	limit  int
	found  map[correlate.InvocationID]int // its place in rel.Callees
	rel    *Relations
}

// spans reads what the callees say of the spans they were started under: attempts
// of r, and its start span for what only its lines told.
func (c *calleeSearch) spans(ctx context.Context) error {
	for _, span := range append([]SpanID{startSpan(c.r.ID)}, c.r.Attempts...) {
		from := append([]byte{familyCallee}, span[:]...)
		to := after(from)
		for {
			keys, err := c.x.store.Scan(ctx, c.tenant, Range{From: from, To: to, Limit: calleePage})
			if err != nil {
				return fmt.Errorf("read the invocation index: %w", err)
			}
			for _, key := range keys {
				if err := c.add(ctx, key); err != nil {
					return err
				}
				if len(c.rel.Callees) > c.limit {
					c.rel.Callees, c.rel.More = c.rel.Callees[:c.limit], true
					return nil
				}
			}
			if len(keys) < calleePage {
				break
			}
			from = append(keys[len(keys)-1], 0)
		}
	}
	return nil
}

// add adds the invocations that a key names, if their records say so, too.
func (c *calleeSearch) add(ctx context.Context, key []byte) error {
	if len(key) != 1+2*refLen+1 {
		return errCorrupt
	}
	span, origin := SpanID(key[1:]), Origin(key[len(key)-1])
	bucket, err := c.x.bucket(ctx, c.tenant, SpanID(key[1+refLen:]))
	if err != nil {
		return err
	}
	for i := range bucket {
		callee := &bucket[i]
		if callee.ID == c.r.ID || callee.Cause.Value.Span != span && callee.Caller.Value != c.r.ID {
			continue
		}
		at, known := c.found[callee.ID]
		if !known {
			c.found[callee.ID] = len(c.rel.Callees)
			c.rel.Callees = append(c.rel.Callees, Relative{callee.ID, callee.told(origin)})
		} else if c.rel.Callees[at].Origin == OriginUnknown {
			c.rel.Callees[at].Origin = origin
		}
	}
	return nil
}

// after is the first key behind those that begin with prefix.
func after(prefix []byte) []byte {
	next := bytes.Clone(prefix)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			return next[:i+1]
		}
	}
	return nil // there is none: prefixes begin with a family
}
