package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/invoscope/invoscope/correlate"
)

// ErrNotFound means that nothing is known of an invocation.
var ErrNotFound = errors.New("nothing is known of this invocation")

// Reader answers what is known. [Index] does; so may a fake.
type Reader interface {
	// Get returns the record of an invocation, or ErrNotFound.
	Get(ctx context.Context, tenant string, id correlate.InvocationID) (Record, error)
	// Relations returns whom r is related to, with at most limit callees.
	Relations(ctx context.Context, tenant string, r *Record, limit int) (Relations, error)
	// List returns a page of records. A bad cursor is ErrCursor.
	List(ctx context.Context, tenant string, q Query) (Page, error)
}

// Options says how an [Index] works.
type Options struct {
	Store Store
	// Retention is how long an invocation is remembered after it was last seen.
	Retention func(tenant string) time.Duration
	// MaxBytes bounds what the store takes; 0 means that somebody else does.
	MaxBytes int64

	Log        *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Index knows invocations. It is safe for concurrent use.
type Index struct {
	opts   Options
	store  Store
	traces *lru.Cache[traceKey, RunTrace]
	since  sinceCache
	// missedAt is when a request was missed last, in nanoseconds since 1970, since this
	// process began.
	missedAt atomic.Int64
	metrics  *metrics
}

type traceKey struct {
	tenant string
	id     correlate.InvocationID
}

// cachedTraces bounds the invocations whose trace is known without asking the
// store; one takes about 150 bytes.
const cachedTraces = 1 << 16

// New returns an index over a store, which it doesn't close.
func New(o Options) (*Index, error) {
	traces, err := lru.New[traceKey, RunTrace](cachedTraces)
	if err != nil {
		return nil, fmt.Errorf("make the cache of traces: %w", err)
	}
	return &Index{opts: o, store: o.Store, traces: traces, metrics: newMetrics(o.Registerer)}, nil
}

// Sync returns once all that was applied is durable.
func (x *Index) Sync(ctx context.Context) error { return x.store.Sync(ctx) }

// Missed counts a request of which nothing was learnt, or not all.
func (x *Index) Missed() {
	x.metrics.missed.Inc()
	x.missedAt.Store(x.opts.Now().UnixNano())
}

// Get implements [Reader].
func (x *Index) Get(ctx context.Context, tenant string, id correlate.InvocationID) (Record, error) {
	bucket, err := x.bucket(ctx, tenant, startSpan(id))
	if err != nil {
		return Record{}, err
	}
	for _, r := range bucket {
		if r.ID == id {
			return r, nil
		}
	}
	return Record{}, ErrNotFound
}

// RunTrace is the trace that the latest run of an invocation has.
type RunTrace struct {
	ID TraceID
	// Until is when that run was over, and some seconds more; what comes later is
	// of another run. 0 means that it isn't over.
	Until int64
}

func (r *Record) runTrace() RunTrace {
	main := r.mainTrace()
	if main.To < max(r.Started, r.Begun)-sameRun {
		return RunTrace{} // of the run before
	}
	t := RunTrace{ID: main.ID}
	if ended := r.EndedAt(); ended != 0 {
		t.Until = ended + sameRun
	}
	return t
}

// Trace returns the trace that an invocation ran in, if it is known. With stored
// unset it answers from memory alone.
func (x *Index) Trace(ctx context.Context, tenant string, id correlate.InvocationID, stored bool) (RunTrace, bool) {
	key := traceKey{tenant, id}
	if trace, known := x.traces.Get(key); known || !stored {
		return trace, known
	}
	r, err := x.Get(ctx, tenant, id)
	if err != nil {
		return RunTrace{}, false
	}
	trace := r.runTrace()
	if trace.ID == (TraceID{}) {
		return RunTrace{}, false
	}
	x.traces.Add(key, trace)
	return trace, true
}

// bucket returns the records that share a start span's id, which are usually one
// or none.
func (x *Index) bucket(ctx context.Context, tenant string, ref SpanID) ([]Record, error) {
	value, err := x.store.Get(ctx, tenant, recordKey(ref))
	if err != nil {
		return nil, fmt.Errorf("read the invocation index: %w", err)
	}
	return readBucket(ref, value)
}
