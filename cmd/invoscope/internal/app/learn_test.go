package app

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
)

const (
	recordedSpans = "../../../../testdata/restate/traces-debug-01.otlp.pb"
	recordedID    = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"
)

// sick is a store that fails as it is told to.
type sick struct {
	*indextest.Memory
	update func(context.Context) error
	sync   func(context.Context) error
}

func (s sick) Update(ctx context.Context, tenant string, keys [][]byte, change func([][]byte, *index.Writes) error) error {
	if err := s.update(ctx); err != nil {
		return err
	}
	return s.Memory.Update(ctx, tenant, keys, change)
}

func (s sick) Sync(ctx context.Context) error { return s.sync(ctx) }

func well(context.Context) error { return nil }

// newLearner returns a learner over a store, and its clock.
func newLearner(t *testing.T, store index.Store) (l *learner, clock *atomic.Int64) {
	t.Helper()
	clock = &atomic.Int64{}
	clock.Store(1795403660) // just after the recording
	now := func() time.Time { return time.Unix(clock.Load(), 0) }
	x, err := index.New(index.Options{
		Store: store, Retention: func(string) time.Duration { return time.Hour },
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &learner{index: x, read: readSpans, log: slog.New(slog.DiscardHandler), now: now}, clock
}

func knows(t *testing.T, l *learner) bool {
	t.Helper()
	id, err := correlate.ParseInvocationID(recordedID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.index.Get(context.Background(), "acme", id)
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func spans(t *testing.T) []byte {
	t.Helper()
	body, err := os.ReadFile(recordedSpans)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestLearnsBeforeItDelivers(t *testing.T) {
	l, _ := newLearner(t, indextest.NewMemory())
	refused := errors.New("not now")
	err := l.before(func(context.Context, string, []byte) error {
		if !knows(t, l) {
			t.Error("the engine gets what the index doesn't know yet")
		}
		return refused
	})(context.Background(), "acme", spans(t))
	if !errors.Is(err, refused) {
		t.Errorf("%v, not the engine's error", err)
	}
}

// TestTheFutureIsNotLearnt sees that spans of a wrong clock, which would never be old
// enough to be forgotten, are delivered and no more.
func TestTheFutureIsNotLearnt(t *testing.T) {
	l, clock := newLearner(t, indextest.NewMemory())
	clock.Add(-48 * 3600)
	delivered := false
	send := l.before(func(context.Context, string, []byte) error { delivered = true; return nil })
	if err := send(context.Background(), "acme", spans(t)); err != nil || !delivered {
		t.Errorf("delivered: %t, %v", delivered, err)
	}
	if knows(t, l) {
		t.Error("the future is known")
	}
}

func TestLinesAreDecompressed(t *testing.T) {
	var b index.Batch
	if err := readLines(&b, s2.EncodeSnappy(nil, []byte("\x0a\x00"))); err != nil {
		t.Error(err)
	}
	if err := readLines(&b, []byte("\xff\xff")); err == nil {
		t.Error("no error")
	}
}

func TestIndexNeverStopsDelivery(t *testing.T) {
	ill := errors.New("ill")
	for name, store := range map[string]sick{
		"can't write": {indextest.NewMemory(), func(context.Context) error { return ill }, well},
		"can't sync":  {indextest.NewMemory(), well, func(context.Context) error { return ill }},
		"hangs": {indextest.NewMemory(), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}, well},
	} {
		t.Run(name, func(t *testing.T) {
			l, clock := newLearner(t, store)
			delivered := 0
			send := l.before(func(context.Context, string, []byte) error { delivered++; return nil })
			body := spans(t)
			for range 2 { // the second time it rests
				if err := send(context.Background(), "acme", body); err != nil {
					t.Fatal(err)
				}
			}
			if delivered != 2 {
				t.Errorf("delivered %d times", delivered)
			}
			if l.resting.Load() == 0 {
				t.Error("the failure wasn't noticed")
			}
			clock.Add(int64(learnPause/time.Second) + 1)
			if clock.Load() <= l.resting.Load()/int64(time.Second) {
				t.Error("it rests for too long")
			}
		})
	}
}

// TestManyInvocationsAreNoFailure sees that a request that names so many invocations that
// they take a while doesn't keep the index from learning what others send.
func TestManyInvocationsAreNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context) error {
			<-time.After(learnTimeout / 40) // for each 256 of them
			return nil
		}
		l, _ := newLearner(t, sick{indextest.NewMemory(), slow, well})
		send := l.before(func(context.Context, string, []byte) error { return nil })
		if err := send(context.Background(), "acme", manyInvocations(t, learnRecords+1000)); err != nil {
			t.Fatal(err)
		}
		if l.resting.Load() != 0 {
			t.Error("one large request stops the index for all")
		}
	})
}

// manyInvocations is a request with a span of each of n invocations.
func manyInvocations(t *testing.T, n int) []byte {
	t.Helper()
	traces := ptrace.NewTraces()
	spans := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for i := range n {
		var id correlate.InvocationID
		binary.BigEndian.PutUint64(id.UUID[8:], uint64(i+1))
		s := spans.AppendEmpty()
		s.SetName("ingress Greeter/greet")
		s.SetTraceID(pcommon.TraceID(id.UUID))
		s.SetSpanID(pcommon.SpanID{1})
		s.SetEndTimestamp(1e9)
		s.Attributes().PutStr("restate.invocation.id", id.String())
	}
	body, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// stuck is a store whose reads don't return.
type stuck struct {
	*indextest.Memory
	reads int
}

func (s *stuck) Get(ctx context.Context, _ string, _ []byte) ([]byte, error) {
	s.reads++
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestAStuckIndexDelaysOneLine sees that a request whose lines name many invocations
// doesn't wait for the index for each of them.
func TestAStuckIndexDelaysOneLine(t *testing.T) {
	store := &stuck{Memory: indextest.NewMemory()}
	l, _ := newLearner(t, store)
	a := &App{index: l.index, now: l.now}
	for n := range 10 {
		if trace := a.traceOf("acme", (correlate.InvocationID{PartitionKey: uint64(n)}).String()); trace.ID != "" {
			t.Errorf("trace %s", trace.ID)
		}
	}
	if store.reads != 1 {
		t.Errorf("the store was asked %d times", store.reads)
	}
}

func TestGarbageIsDelivered(t *testing.T) {
	l, _ := newLearner(t, indextest.NewMemory())
	delivered := false
	send := l.before(func(context.Context, string, []byte) error { delivered = true; return nil })
	if err := send(context.Background(), "acme", []byte("\xff\xff\xff")); err != nil || !delivered {
		t.Errorf("delivered: %t, %v", delivered, err)
	}
	if l.resting.Load() != 0 {
		t.Error("one bad request stops the index for all")
	}
}
