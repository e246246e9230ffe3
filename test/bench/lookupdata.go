package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

const invocationAttribute = "restate.invocation.id"

// invocation is one that was sent.
type invocation struct {
	id       string
	traces   map[string]bool // their ids, in hexadecimal
	from, to time.Time       // of its spans
	ran      bool            // more than its ingress was sent
}

// replay gives the recorded traces over and over, each time with new trace, span
// and invocation ids and at a time of its own.
type replay struct {
	spanSource
	start       time.Time // of the recording
	invocations map[string]*invocation
}

func newReplay(recordings string) (*replay, error) {
	source, err := recordedSpans(recordings)
	if err != nil {
		return nil, err
	}
	r := &replay{spanSource: *source, start: source.spans[0].StartTimestamp().AsTime()}
	for _, span := range r.spans {
		if at := span.StartTimestamp().AsTime(); at.Before(r.start) {
			r.start = at
		}
	}
	return r, nil
}

// next appends the recording to a batch as if it had begun at a time, and returns
// its invocations.
func (r *replay) next(batch ptrace.SpanSlice, at time.Time) map[string]*invocation {
	r.traceIDs, r.spanIDs = map[pcommon.TraceID]pcommon.TraceID{}, map[pcommon.SpanID]pcommon.SpanID{}
	r.invocations = map[string]*invocation{}
	r.shift = at.Sub(r.start)
	for _, recorded := range r.spans {
		span := batch.AppendEmpty()
		recorded.CopyTo(span)
		r.renew(span)
		if id, ok := span.Attributes().Get(invocationAttribute); ok {
			known := r.invocation(id.Str())
			id.SetStr(known.id)
			known.see(span)
		}
	}
	return r.invocations
}

func (r *replay) invocation(recorded string) *invocation {
	known, ok := r.invocations[recorded]
	if !ok {
		known = &invocation{id: freshInvocationID(), traces: map[string]bool{}}
		r.invocations[recorded] = known
	}
	return known
}

func (i *invocation) see(span ptrace.Span) {
	from, to := span.StartTimestamp().AsTime(), span.EndTimestamp().AsTime()
	if i.from.IsZero() || from.Before(i.from) {
		i.from = from
	}
	if to.After(i.to) {
		i.to = to
	}
	i.traces[span.TraceID().String()] = true
	i.ran = i.ran || !strings.HasPrefix(span.Name(), "ingress ")
}

// freshInvocationID is a random id. Its two numbers are in range when their first
// digits are low: of 11 digits of base 62 for 64 bits and 22 for 128.
func freshInvocationID() string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const key, keyTop, uuidTop = 11, 21, 7
	id := []byte("inv_1")
	for i := range 33 {
		below := len(digits)
		switch i {
		case 0:
			below = keyTop
		case key:
			below = uuidTop
		}
		id = append(id, digits[rand.IntN(below)])
	}
	return string(id)
}

// batch is a request and what it holds.
type batch struct {
	body        []byte
	spans       int
	traces      int
	invocations []*invocation
}

// batchRounds is how often a request repeats the recording, so that it has about
// as many spans as Restate sends at most, 512.
const batchRounds = 3

// batch makes a request of spans that are spread over the time from then on.
func (r *replay) batch(from time.Time, over time.Duration) (batch, error) {
	var b batch
	traces := ptrace.NewTraces()
	rs := traces.ResourceSpans().AppendEmpty()
	r.resource.CopyTo(rs.Resource())
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("services")
	for range batchRounds {
		for _, i := range r.next(ss.Spans(), from.Add(rand.N(over))) {
			b.invocations = append(b.invocations, i)
		}
		b.traces += len(r.traceIDs)
	}
	b.spans = ss.Spans().Len()
	var err error
	if b.body, err = ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto(); err != nil {
		return b, fmt.Errorf("encode a request: %w", err)
	}
	return b, nil
}
