package index_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
)

// numbered is an invocation's id of which the first eight bytes and the last eight, the
// id of its start span, are given.
func numbered(first, last uint64) (id correlate.InvocationID) {
	binary.BigEndian.PutUint64(id.UUID[:], first)
	binary.BigEndian.PutUint64(id.UUID[8:], last)
	return id
}

// made is a span of Restate 1.7 as far as the index reads it.
type made struct {
	kind       string
	of         correlate.InvocationID
	span       uint64 // of an attempt or the ingress
	parent     uint64 // of a start
	start, end int64
	ok         bool
}

func (m made) encode(t testing.TB) []byte {
	t.Helper()
	number := func(n uint64) (id pcommon.SpanID) {
		binary.BigEndian.PutUint64(id[:], n)
		return id
	}
	s := ptrace.NewSpan()
	s.SetName(m.kind + " Greeter/greet")
	s.SetTraceID(pcommon.TraceID(m.of.UUID))
	s.SetSpanID(number(m.span))
	s.SetStartTimestamp(pcommon.Timestamp(m.start))
	s.SetEndTimestamp(pcommon.Timestamp(m.end))
	s.Attributes().PutStr("restate.invocation.id", m.of.String())
	start := pcommon.SpanID(m.of.UUID[8:])
	switch m.kind {
	case "invocation-start":
		s.SetSpanID(start)
		s.SetParentSpanID(number(m.parent))
	case "invocation-attempt", "invocation-end":
		s.SetParentSpanID(start)
	}
	if m.kind == "invocation-end" {
		s.Attributes().PutStr("restate.invocation.result", "success")
	}
	if m.ok {
		s.Status().SetCode(ptrace.StatusCodeOk)
	}
	return oneSpan(t, s)
}

// TestManyAttemptsAreForgotten sees that nothing is left of an invocation that was tried
// more often than its record holds, in whichever order.
func TestManyAttemptsAreForgotten(t *testing.T) {
	store := indextest.NewMemory()
	now := time.Unix(2000, 0)
	x := newIndexOver(t, index.Options{
		Store: store, Retention: func(string) time.Duration { return time.Hour }, Now: func() time.Time { return now },
	})
	ctx := context.Background()
	const tries = index.MaxAttempts + 40
	id := numbered(1, 2)
	for _, upwards := range []bool{true, false} {
		for n := range uint64(tries) {
			if !upwards {
				n = tries - n
			}
			applySpans(t, x, made{kind: "invocation-attempt", of: id, span: 1000 + n, start: 1, end: 2}.encode(t))
		}
		if r, err := x.Get(ctx, tenant, id); err != nil || len(r.Attempts) != index.MaxAttempts || !r.MoreAttempts {
			t.Fatalf("%d attempts: %v", len(r.Attempts), err)
		}
		now = now.Add(24 * time.Hour)
		if err := x.Maintain(ctx); err != nil {
			t.Fatal(err)
		}
		if size, err := store.Bytes(ctx); err != nil || size != 0 {
			t.Errorf("%d bytes are left of an invocation that was forgotten: %v", size, err)
		}
	}
}

// TestIDsThatEndAlike sees that ids which were made to share a start span's id don't
// make a record that grows with each of them.
func TestIDsThatEndAlike(t *testing.T) {
	store := indextest.NewMemory()
	x := newIndexOver(t, index.Options{Store: store})
	ctx := context.Background()
	var size int64
	for n := range uint64(100) {
		applySpans(t, x, made{kind: "ingress", of: numbered(n, 2), span: 7, start: 1e9, end: 2e9}.encode(t))
		if n == 50 {
			var err error
			if size, err = store.Bytes(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if full, err := store.Bytes(ctx); err != nil || full > size {
		t.Errorf("the store grew from %d to %d bytes: %v", size, full, err)
	}
	if _, err := x.Get(ctx, tenant, numbered(0, 2)); err != nil {
		t.Errorf("the first is not known: %v", err)
	}
	if _, err := x.Get(ctx, tenant, numbered(99, 2)); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("the last: %v", err)
	}
}

// TestOldInvocationsThatGoOnDontFillTheIndex sees that the index stays within its size
// when some invocations, such as workflows that run again and again, have been known
// for very long: they say nothing of how old the others are.
func TestOldInvocationsThatGoOnDontFillTheIndex(t *testing.T) {
	store := indextest.NewMemory()
	ctx := context.Background()
	now := time.Unix(1795403660, 0) // just after the recording
	limited := func(limit int64) *index.Index {
		return newIndexOver(t, index.Options{
			Store: store, MaxBytes: limit,
			Retention: func(string) time.Duration { return 24 * time.Hour }, Now: func() time.Time { return now },
		})
	}
	x := limited(0)
	applySpans(t, x, spanBatches(t)...)
	for n := range uint64(20) {
		first := 1 + int64(n)*now.UnixNano()/20
		applySpans(t, x, made{kind: "ingress", of: numbered(n+1, n+1), span: 7, start: first, end: now.UnixNano()}.encode(t))
	}
	full, err := store.Bytes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := limited(full / 2).Maintain(ctx); err != nil {
		t.Fatal(err)
	}
	if size, err := store.Bytes(ctx); err != nil || size > full/2 {
		t.Errorf("%d bytes of %d allowed: %v", size, full/2, err)
	}
	for n := range uint64(20) {
		if _, err := x.Get(ctx, tenant, numbered(n+1, n+1)); err != nil {
			t.Errorf("an invocation that was seen just now: %v", err)
		}
	}
}

// TestServicesSpansTellNoOutcome sees that a service's span whose name is like one of
// Restate's, but not its place, doesn't end the invocation that it names.
func TestServicesSpansTellNoOutcome(t *testing.T) {
	x := newIndex(t)
	id := numbered(1, 2)
	applySpans(t, x,
		made{kind: "invocation-start", of: id, start: 1e9, end: 1e9}.encode(t),
		made{kind: "invoke", of: id, span: 77, start: 2e9, end: 3e9}.encode(t),
	)
	r, err := x.Get(context.Background(), tenant, id)
	if err != nil {
		t.Fatal(err)
	}
	if r.Outcome() != index.Running {
		t.Errorf("%s, not running", r.Outcome())
	}
}

// TestListsWithinAnyTime sees that times far from all that happened are as good as others.
func TestListsWithinAnyTime(t *testing.T) {
	x := newIndex(t)
	applySpans(t, x, spanBatches(t)...)
	all := len(listAll(t, x, index.Query{}))
	for _, q := range []index.Query{
		{To: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		{From: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)},
	} {
		if got := len(listAll(t, x, q)); got != all {
			t.Errorf("%v to %v: %d of %d", q.From, q.To, got, all)
		}
	}
	if got := listAll(t, x, index.Query{From: time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC)}); len(got) != 0 {
		t.Errorf("%d after 2400", len(got))
	}
}
