package index

import (
	"bytes"
	"context"
	"fmt"

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
	if err := x.callees(ctx, tenant, r, limit, &rel); err != nil {
		return Relations{}, err
	}
	return rel, nil
}

// origin finds out how r came to be. A parent that is neither its ingress span nor
// a known attempt says nothing: it may be a span that was lost.
func (x *Index) origin(ctx context.Context, tenant string, r *Record, rel *Relations) error {
	cause := r.Cause.Value
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
	if r.Caller.Time != 0 {
		caller := r.Caller.Value
		rel.Origin, rel.Caller = cause.Origin, &caller
		return nil
	}
	switch {
	case cause.Origin == Send:
		rel.Origin = Send
	case cause.Span == (SpanID{}) && r.Requested != 0 && r.Requested <= r.Started:
		// Requests for what runs already, such as a repeated idempotent call, come
		// after its start.
		rel.Origin = Ingress
	}
	return nil
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
	for _, a := range r.Attempts {
		if a == span {
			return true
		}
	}
	return false
}

// calleePage is how many callees are read at once.
const calleePage = 256

// callees finds whom the attempts of r, or its lines, say that it invoked.
func (x *Index) callees(ctx context.Context, tenant string, r *Record, limit int, rel *Relations) error {
	found := map[correlate.InvocationID]int{}
	for _, span := range append([]SpanID{startSpan(r.ID)}, r.Attempts...) {
		from := append([]byte{familyCallee}, span[:]...)
		to := after(from)
		for {
			keys, err := x.store.Scan(ctx, tenant, from, to, calleePage, false)
			if err != nil {
				return fmt.Errorf("read the invocation index: %w", err)
			}
			for _, key := range keys {
				if err := x.addCallee(ctx, tenant, r, key, found, rel); err != nil {
					return err
				}
				if len(rel.Callees) > limit {
					rel.Callees, rel.More = rel.Callees[:limit], true
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

// addCallee adds the invocations that a key names, if they say so themselves.
func (x *Index) addCallee(ctx context.Context, tenant string, r *Record, key []byte, found map[correlate.InvocationID]int, rel *Relations) error {
	if len(key) != 1+2*refLen+1 {
		return errCorrupt
	}
	span, origin := SpanID(key[1:]), Origin(key[len(key)-1])
	bucket, err := x.bucket(ctx, tenant, SpanID(key[1+refLen:]))
	if err != nil {
		return err
	}
	for i := range bucket {
		c := &bucket[i]
		if c.ID == r.ID || c.Cause.Value.Span != span && c.Caller.Value != r.ID {
			continue
		}
		at, known := found[c.ID]
		if !known {
			found[c.ID] = len(rel.Callees)
			rel.Callees = append(rel.Callees, Relative{c.ID, origin})
		} else if rel.Callees[at].Origin == OriginUnknown {
			rel.Callees[at].Origin = origin
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
