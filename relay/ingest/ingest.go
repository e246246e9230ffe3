package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/queue"
)

// Appender stores a tenant's encoded request durably. It doesn't keep its bytes.
type Appender interface {
	Append(ctx context.Context, tenant string, req queue.Request) error
}

// DeadLetters keeps durably what can't go to an engine, and why. The request has
// the form of one for the [Appender] of its signal; its bytes aren't kept.
type DeadLetters interface {
	Bury(ctx context.Context, tenant, reason string, req queue.Request) error
}

// Limits are what single tenants may send.
type Limits interface {
	// MaxRequestBytes bounds a tenant's requests as MaxBytes of [Options] does
	// everybody's; 0 means that only that does.
	MaxRequestBytes(tenant string) int64
	// Ingest asks for a request that is to be stored: its bytes, decompressed and as
	// protobuf, and its spans. It may be refused in the words of a [fault.Error].
	Ingest(tenant string, bytes, spans int64) error
}

// Options says how an [Ingest] works.
type Options struct {
	// Logs takes snappy-compressed push.PushRequest messages, Traces OTLP
	// ExportTraceServiceRequest messages.
	Logs, Traces Appender
	// DeadLogs takes log entries that are older than LogMaxAge. Without it they go to
	// Logs.
	DeadLogs DeadLetters
	// TenantKey is the stream label and the resource attribute that carry the
	// tenant's name.
	TenantKey string
	// MaxBytes bounds one request's body, compressed and decompressed.
	MaxBytes int64
	// MaxItemBytes bounds one span, and one log entry with its structured metadata;
	// 0 means MaxBytes.
	MaxItemBytes int64
	// LogMaxAge is how old a log entry may be, SpanMaxAge a span by its end, and
	// MaxLead how far in the future either may be. 0 means that it isn't checked.
	LogMaxAge, SpanMaxAge, MaxLead time.Duration
	// ContinuationLines gives a line that begins no record the facts of the record
	// before it in its stream; see [correlate.Begins].
	ContinuationLines bool
	// TraceOf returns the trace of a tenant's invocation, or the zero Trace. It is asked
	// once for each invocation that a request names, while the request waits. Nil means
	// that no entry gets a trace id.
	TraceOf func(tenant, invocationID string) Trace
	// Limits are asked about every request; nil means that there are none.
	Limits Limits
	// Relabel rewrites the labels of streams. Nil means the rules of every preset.
	Relabel []*relabel.Config

	Registerer prometheus.Registerer
	Now        func() time.Time // nil means time.Now
}

// Trace is the trace that an invocation ran in.
type Trace struct {
	ID string // hexadecimal digits
	// Until is when its run was over, in nanoseconds since 1970: later entries are of
	// another run. 0 is not known.
	Until int64
}

// Ingest takes requests in. It is safe for concurrent use.
type Ingest struct {
	opts        Options
	streams     *lru.Cache[labelsKey, stream]
	records     *lru.Cache[string, *record] // the last of each stream, by its labels, which name the tenant
	parser      parser.Parser
	metrics     *metrics
	reasons     limitReasons
	batches     sync.Pool // of *logBatch
	spanBatches sync.Pool // of *spanBatch
	gzip, zstd  decoders
}

// cachedStreams bounds the streams whose labels needn't be parsed again, and
// cachedBytes the labels of each.
const (
	cachedStreams = 4096
	cachedBytes   = 4096
)

// New returns an Ingest.
func New(o Options) (*Ingest, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxItemBytes == 0 {
		o.MaxItemBytes = o.MaxBytes
	}
	if o.Relabel == nil {
		o.Relabel = Preset(Presets()...)
	}
	cache, err := lru.New[labelsKey, stream](cachedStreams)
	if err != nil {
		return nil, fmt.Errorf("make the cache of streams: %w", err)
	}
	records, err := lru.New[string, *record](cachedRecords)
	if err != nil {
		return nil, fmt.Errorf("make the cache of records: %w", err)
	}
	return &Ingest{
		opts:    o,
		streams: cache,
		records: records,
		parser:  parser.NewParser(parser.Options{}),
		metrics: newMetrics(o.Registerer),
		reasons: o.reasons(),
		gzip:    decoders{make: newGzip},
		zstd:    decoders{make: newZstd(o.MaxBytes)},
	}, nil
}

// maxBytes bounds a request's body, compressed and decompressed.
func (in *Ingest) maxBytes(tenant string) int64 {
	if in.opts.Limits != nil {
		if own := in.opts.Limits.MaxRequestBytes(tenant); own > 0 {
			return min(own, in.opts.MaxBytes)
		}
	}
	return in.opts.MaxBytes
}

// allow asks for a request that can be stored.
func (in *Ingest) allow(tenant string, bytes, spans int) error {
	if in.opts.Limits == nil {
		return nil
	}
	return in.opts.Limits.Ingest(tenant, int64(bytes), int64(spans))
}

// retryWhenFull is how long a sender should wait for room in the queue.
const retryWhenFull = 2 * time.Second

// store appends a request and says what a failure means to its sender.
func store(ctx context.Context, to Appender, tenant string, req queue.Request) error {
	err := to.Append(ctx, tenant, req)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, queue.ErrFull):
		return &fault.Error{Kind: fault.Full, Message: "too much waits to be stored, try again later", RetryAfter: retryWhenFull, Cause: err}
	case errors.Is(err, queue.ErrTooLarge):
		return &fault.Error{Kind: fault.TooLarge, Message: err.Error(), Cause: err}
	default:
		return &fault.Error{Kind: fault.Unavailable, Message: "the request could not be stored, try again later", RetryAfter: retryWhenFull, Cause: err}
	}
}
