package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/queue"
)

// maxMetadata bounds the labels of one entry: what Loki does with them grows with
// the square of their number.
const maxMetadata = 1000

// maxGrowth is how much larger than its limit a request may become: each record
// repeats the attributes of its resource and scope.
const maxGrowth = 4

// logBatch turns one request of log entries into what is stored. Its memory is
// used again for another request.
type logBatch struct {
	in     *Ingest
	tenant string
	// live goes to Loki, dead holds what is too old for it.
	live, dead pushWriter
	refused    refusals
	dropped    int64 // by relabelling
	// Entries must not be before oldest nor after newest.
	oldest, newest int64

	now     time.Time
	facts   correlate.Facts
	open    openRecords
	traces  traces
	entry   entry
	meta    []label
	raw     []byte // the request, decompressed
	encoded []byte // a request for the queue, compressed
	otlp    otlpScratch
}

// logs returns a batch, to be given back with release.
func (in *Ingest) logs(tenant string) *logBatch {
	b, ok := in.batches.Get().(*logBatch)
	if !ok {
		b = &logBatch{in: in}
	}
	b.tenant = tenant
	b.oldest, b.newest = math.MinInt64, math.MaxInt64
	b.now = in.opts.Now()
	if in.opts.DeadLogs != nil && in.opts.LogMaxAge > 0 {
		b.oldest = b.now.Add(-in.opts.LogMaxAge).UnixNano()
	}
	if in.opts.MaxLead > 0 {
		b.newest = b.now.Add(in.opts.MaxLead).UnixNano()
	}
	return b
}

func (b *logBatch) release() {
	if cap(b.live.buf)+cap(b.dead.buf)+cap(b.raw)+cap(b.encoded)+cap(b.otlp.printed) > keepBytes {
		return
	}
	b.live.reset()
	b.dead.reset()
	b.refused.reset()
	b.otlp.reset()
	b.open.reset()
	b.traces.reset()
	clear(b.facts.Related)
	b.facts = correlate.Facts{Related: b.facts.Related[:0]}
	b.entry = entry{}
	clear(b.meta[:cap(b.meta)])
	b.meta, b.dropped = b.meta[:0], 0
	b.in.batches.Put(b)
}

func (b *logBatch) begin(labels string) {
	b.live.begin(labels)
	b.dead.begin(labels)
	if b.in.opts.ContinuationLines {
		b.resumeRecord(labels)
	}
}

// add checks an entry, adds the facts of its line and writes it into the current
// stream.
func (b *logBatch) add(e *entry) error {
	if why, message := b.verdict(e); message != nil {
		b.refused.add(why, 1, message)
		if b.in.opts.ContinuationLines && begins(e) {
			b.open.of.facts = correlate.Facts{} // what continues it doesn't continue the one before
		}
		return nil
	}
	b.enrich(e)
	if e.time < b.oldest {
		b.dead.write(e)
	} else {
		b.live.write(e)
	}
	b.meta = e.meta // it may have grown
	if int64(len(b.live.buf)+len(b.dead.buf)) > maxGrowth*b.in.opts.MaxBytes {
		return fault.New(fault.TooLarge, "the records are too large together with the attributes that they share")
	}
	return nil
}

// verdict returns why an entry isn't taken, in Loki's words, or no message.
func (b *logBatch) verdict(e *entry) (reason, func() string) {
	limit := b.in.opts.MaxItemBytes
	stream := b.live.stream[:min(len(b.live.stream), maxMessageBytes)] // a message for each entry would cost much more than the request
	switch {
	case len(e.meta) > maxMetadata:
		return reasonMetadata, func() string {
			return fmt.Sprintf("stream '%s' has too many structured metadata labels: '%d', limit: '%d'", stream, len(e.meta), maxMetadata)
		}
	case e.time > b.newest:
		return b.in.reasons.future, func() string {
			return fmt.Sprintf("entry for stream '%s' has timestamp too new: %s", stream, time.Unix(0, e.time).UTC().Format(time.RFC3339))
		}
	case int64(e.size()) > limit:
		return b.in.reasons.large, func() string {
			return fmt.Sprintf("max entry size '%d' bytes exceeded for stream '%s' while adding an entry with length '%d' bytes", limit, stream, e.size())
		}
	}
	return reason{}, nil
}

// store appends the entries to the queue, and buries those that are too old. It
// appends first: while the queue is full, senders come again, and what is too old
// would be buried each time.
func (b *logBatch) store(ctx context.Context) error {
	b.live.end()
	b.dead.end()
	if b.live.entries > 0 {
		if err := b.send(&b.live, func(req queue.Request) error { return store(ctx, b.in.opts.Logs, b.tenant, req) }); err != nil {
			return err
		}
	}
	if b.dead.entries > 0 {
		if err := b.storeDead(ctx); err != nil {
			return err
		}
	}
	b.keepRecords()
	b.in.metrics.dropped.Add(float64(b.dropped))
	b.in.metrics.count("logs", &b.refused)
	return nil
}

func (b *logBatch) send(w *pushWriter, to func(queue.Request) error) error {
	if n := s2.MaxEncodedLen(len(w.buf)); cap(b.encoded) < n {
		b.encoded = make([]byte, n)
	}
	b.encoded = s2.EncodeSnappy(b.encoded[:cap(b.encoded)], w.buf)
	if err := to(queue.Request{Body: b.encoded, Items: w.entries}); err != nil {
		return err
	}
	b.in.metrics.acceptedLogs.Add(float64(w.entries))
	b.in.metrics.acceptedLogBytes.Add(float64(w.lineBytes))
	return nil
}

// storeDead buries what is too old. Where there is no room for more dead letters it
// is refused, as Loki would: nobody has acknowledged it yet.
func (b *logBatch) storeDead(ctx context.Context) error {
	old := b.in.reasons.oldEntry
	err := b.send(&b.dead, func(req queue.Request) error { return b.in.opts.DeadLogs.Bury(ctx, b.tenant, old.phrase, req) })
	switch {
	case err == nil:
		b.in.metrics.buried.Add(float64(b.dead.entries))
	case errors.Is(err, queue.ErrFull):
		b.refused.add(old, int64(b.dead.entries), func() string {
			return "entry has timestamp too old: it is " + old.phrase + ", and there is no room for more dead letters"
		})
		b.dead.reset()
	default:
		return &fault.Error{Kind: fault.Unavailable, Message: "the request could not be stored, try again later", RetryAfter: retryWhenFull, Cause: err}
	}
	return nil
}
