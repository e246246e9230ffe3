package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	// ErrFull is returned when what waits has reached a bound: that of the tenant,
	// of the whole queue, or of time.
	ErrFull = errors.New("the queue is full")
	// ErrClosed is returned once [Queue.Run] is ending.
	ErrClosed = errors.New("the queue is closed")
	// ErrTooLarge is returned for a request that could never fit.
	ErrTooLarge = errors.New("the request is larger than the queue takes")
)

// Request is one encoded request, as an engine takes it.
type Request struct {
	Body  []byte
	Items int // log entries or spans in Body; deliveries are formed by it
}

// Send delivers one request of a tenant. It returns nil once the request is
// stored, an error that [Options.Verdict] understands when it isn't, or the
// context's.
type Send func(ctx context.Context, tenant string, body []byte) error

// Codec knows the form of the requests.
type Codec interface {
	// Join makes one request of several, in their order.
	Join(bodies [][]byte) []byte
	// Split cuts a request into two that have about half of its items each. ok is
	// false when it can't be cut any further.
	Split(body []byte) (first, second []byte, ok bool)
}

// Process is an engine's process that forgets what it has just acknowledged when
// it is killed.
type Process interface {
	// Life names the process's present life; 0 means that it has none. Equal values
	// at two times mean that it was the same process all along.
	Life() uint64
	// Running returns nil when the process answers now.
	Running(ctx context.Context) error
}

// Fsync says when what is appended is synced to disk.
type Fsync string

// The choices. Whichever it is, a request that was appended survives the death of
// the process; a power failure it survives only when it was synced.
const (
	FsyncBatch  Fsync = "batch"  // before Append returns, one sync for all that waits meanwhile
	FsyncAlways Fsync = "always" // before Append returns, one sync for each request
	FsyncNever  Fsync = "never"  // when the system likes
)

// Options says how a queue works.
type Options struct {
	// Dir holds the log, the checkpoint and the dead letters; it is made when it
	// isn't there.
	Dir   string
	Fsync Fsync // empty means FsyncBatch
	// MaxBytes bounds the requests that are kept, over all tenants. The log on disk
	// may take twice as much and some segments, before it is compacted.
	MaxBytes int64
	// TenantMaxBytes bounds those of one tenant; 0 means MaxBytes.
	TenantMaxBytes int64
	// MaxAge bounds how long a tenant's oldest request may have waited for more of
	// them to be taken; 0 means for ever.
	MaxAge time.Duration
	// DeadMaxBytes bounds a tenant's dead letters.
	DeadMaxBytes int64
	// Codec joins small requests and splits refused ones; nil does neither.
	Codec Codec
	// Send delivers.
	Send Send
	// Verdict tells what an error of Send means.
	Verdict func(error) Verdict
	// Process, if not nil, is why a request is kept for some seconds after it was
	// delivered, and delivered again when the process died meanwhile.
	Process Process
	// SafeBeats is for how many beats, of a second each, the process has to go on
	// after it acknowledged a request for the request to be safe in it.
	SafeBeats uint64

	Log        *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // nil means time.Now
}

// Queue is a durable queue of encoded requests. Open it, Run it, Append to it.
type Queue struct {
	opts    Options
	log     *segmentLog
	dead    *DeadLetters
	metrics *metrics
	commits chan *commit
	slots   chan struct{} // one for each delivery under way
	spawn   func(*line)   // starts a line's delivery; Run's

	// stopped is closed when no more commits are taken.
	stopped chan struct{}

	mu        sync.Mutex
	lines     map[string]*line
	bytes     int64             // reserved by appends and held by entries
	inMemory  int64             // bytes of the records that entries hold
	delivered map[string]uint64 // tenant → the last sequence number that is done with
	dirty     bool              // delivered has changed since the last checkpoint
	kept      keeping

	sequence uint64 // of the next record; the committer's own
}

// Open opens the queue in o.Dir and reads back what isn't done with.
func Open(o Options) (*Queue, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TenantMaxBytes == 0 {
		o.TenantMaxBytes = o.MaxBytes
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the queue's directory: %w", err)
	}
	dead, err := OpenDeadLetters(o.Dir, o.DeadMaxBytes)
	if err != nil {
		return nil, err
	}
	q := &Queue{
		opts:    o,
		dead:    dead,
		metrics: newMetrics(o.Registerer),
		commits: make(chan *commit),
		slots:   make(chan struct{}, maxDeliveries),
		stopped: make(chan struct{}),
		lines:   map[string]*line{},
	}
	done, err := readCheckpoint(q.checkpointPath())
	if err != nil {
		o.Log.Warn("the queue's checkpoint can't be used; what it knew as delivered is delivered again", "err", err)
	}
	q.delivered = done.Delivered
	for _, n := range q.delivered {
		q.sequence = max(q.sequence, n+1)
	}
	if q.log, err = openLog(q.logPath(), q.damagedPath(), o.Log, q.replay); err != nil {
		return nil, err
	}
	q.log.sync = o.Fsync != FsyncNever
	q.replayed()
	q.measure()
	if err := q.log.truncate(); err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return q, nil
}

func (q *Queue) checkpointPath() string { return filepath.Join(q.opts.Dir, "checkpoint.json") }
func (q *Queue) logPath() string        { return filepath.Join(q.opts.Dir, "log") }
func (q *Queue) damagedPath() string    { return filepath.Join(q.opts.Dir, "damaged") }

// replay takes a record that was read back, unless it is done with.
func (q *Queue) replay(r record, at location) {
	q.sequence = max(q.sequence, r.sequence()+1)
	if last, ok := q.delivered[r.tenant()]; ok && r.sequence() <= last {
		return
	}
	l := q.line(r.tenant())
	l.entries = append(l.entries, newEntry(r, at))
}

// replayed orders what replay took: a compacted log has records behind later
// ones, and may have them twice.
func (q *Queue) replayed() {
	for _, l := range q.lines {
		l.order()
		for i := range l.entries {
			e := &l.entries[i]
			q.log.need(e.at.segment)
			l.bytes += int64(e.at.size)
			q.bytes += int64(e.at.size)
			q.metrics.pendingRequests.Inc()
			q.metrics.pendingBytes.Add(float64(e.at.size))
		}
	}
}

// line returns a tenant's line, which is made when it isn't there.
func (q *Queue) line(tenant string) *line {
	l := q.lines[tenant]
	if l == nil {
		l = &line{tenant: tenant}
		q.lines[tenant] = l
	}
	return l
}

// Append stores a copy of a tenant's request and returns nil once it is on disk.
// The caller may reuse the request's bytes.
func (q *Queue) Append(ctx context.Context, tenant string, req Request) error {
	if tenant == "" || len(tenant) > maxTenantBytes {
		return fmt.Errorf("queue a request: the tenant's name has %d bytes", len(tenant))
	}
	c := &commit{record: newRecord(tenant, q.opts.Now(), req), done: make(chan error, 1)}
	n := int64(len(c.record))
	if n > commitBytes || n > min(q.opts.MaxBytes, q.opts.TenantMaxBytes) {
		return ErrTooLarge
	}
	if err := q.reserve(tenant, n); err != nil {
		return err
	}
	select {
	case q.commits <- c:
	case <-q.stopped:
		q.release(tenant, n)
		return ErrClosed
	case <-ctx.Done():
		q.release(tenant, n)
		return ctx.Err()
	}
	// From here on the committer owns the record, and its answer is prompt: it
	// isn't given up, since it may already be on disk.
	return <-c.done
}

// reserve makes room for n bytes of a tenant, or says which bound has no more.
func (q *Queue) reserve(tenant string, n int64) error {
	onDisk := q.log.size()
	q.mu.Lock()
	defer q.mu.Unlock()
	if bound := q.bound(q.lines[tenant], n, onDisk); bound != "" {
		q.metrics.full.WithLabelValues(bound).Inc()
		return fmt.Errorf("%w (%s)", ErrFull, bound)
	}
	q.bytes += n
	q.line(tenant).bytes += n
	return nil
}

func (q *Queue) release(tenant string, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.releaseLocked(q.lines[tenant], n)
}

// releaseLocked forgets a line that has nothing any more.
func (q *Queue) releaseLocked(l *line, n int64) {
	q.bytes -= n
	l.bytes -= n
	if l.bytes == 0 && !l.delivering {
		delete(q.lines, l.tenant)
	}
}

// Bury keeps a request that will not be delivered as a dead letter of its tenant,
// durably. It returns [ErrFull] when there is no room.
func (q *Queue) Bury(ctx context.Context, tenant, reason string, req Request) error {
	if err := q.dead.add(ctx, tenant, Letter{Time: q.opts.Now(), Reason: reason, Items: req.Items, Body: req.Body}); err != nil {
		return err
	}
	q.metrics.buried.WithLabelValues(tenant).Add(float64(req.Items))
	return nil
}

// Close closes a queue that was opened and isn't run; Run closes it otherwise.
func (q *Queue) Close() error { return q.log.wal.Close() }
