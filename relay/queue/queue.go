package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	// ErrFull is returned when what waits has reached [Options.MaxBytes].
	ErrFull = errors.New("the queue is full")
	// ErrClosed is returned once [Queue.Run] is ending.
	ErrClosed = errors.New("the queue is closed")
	// ErrTooLarge is returned for a request that could never fit.
	ErrTooLarge = errors.New("the request is larger than the queue takes")
)

// Send delivers one request of a tenant. It returns nil once the request is
// stored, an error that [Options.Verdict] understands when it isn't, or the
// context's.
type Send func(ctx context.Context, tenant string, body []byte) error

// Options says how a queue works.
type Options struct {
	// Dir holds the log and the checkpoint; it is made when it isn't there.
	Dir string
	// MaxBytes bounds the requests that wait, over all tenants, in memory. The
	// log on disk takes up to diskFactor times as much: it can only let go of its
	// oldest segments, and what waits in one keeps the delivered requests behind it.
	MaxBytes int64
	// Send delivers.
	Send Send
	// Verdict tells what an error of Send means.
	Verdict func(error) Verdict

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Queue is a durable queue of encoded requests. Open it, Run it, Append to it.
type Queue struct {
	opts    Options
	log     *segmentLog
	metrics *metrics
	commits chan *commit

	// stopped is closed when no more commits are taken.
	stopped chan struct{}

	mu        sync.Mutex
	waiting   map[string]*tenantQueue
	bytes     int64             // reserved by appends and held by records
	delivered map[string]uint64 // tenant → the last sequence number delivered
	dirty     bool              // delivered has changed since the last checkpoint

	sequence uint64 // of the next record; the committer's own
}

// tenantQueue holds a tenant's records in the order of their sequence numbers.
type tenantQueue struct {
	name    string
	records []record
}

// Open opens the queue in o.Dir and reads back what hasn't been delivered.
func Open(o Options) (*Queue, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the queue's directory: %w", err)
	}
	q := &Queue{
		opts:    o,
		metrics: newMetrics(o.Registerer),
		commits: make(chan *commit),
		stopped: make(chan struct{}),
		waiting: map[string]*tenantQueue{},
	}
	done, err := readCheckpoint(q.checkpointPath())
	if err != nil {
		o.Log.Warn("the queue's checkpoint can't be used; what it knew as delivered is delivered again", "err", err)
	}
	q.delivered = done.Delivered
	for _, n := range q.delivered {
		q.sequence = max(q.sequence, n+1)
	}
	if q.log, err = openLog(filepath.Join(o.Dir, "log"), filepath.Join(o.Dir, "damaged"), o.Log, q.replay); err != nil {
		return nil, err
	}
	return q, nil
}

func (q *Queue) checkpointPath() string { return filepath.Join(q.opts.Dir, "checkpoint.json") }

// replay takes a record that was read back, unless it has been delivered.
func (q *Queue) replay(r record) bool {
	q.sequence = max(q.sequence, r.sequence()+1)
	if last, ok := q.delivered[r.tenant()]; ok && r.sequence() <= last {
		return false
	}
	q.bytes += int64(len(r.raw))
	q.enqueue(r)
	return true
}

// enqueue puts a record at the end of its tenant's line and reports whether
// nobody is delivering that line yet.
func (q *Queue) enqueue(r record) (t *tenantQueue, fresh bool) {
	name := r.tenant()
	t, known := q.waiting[name]
	if !known {
		t = &tenantQueue{name: name}
		q.waiting[name] = t
	}
	t.records = append(t.records, r)
	q.metrics.pendingRequests.Inc()
	q.metrics.pendingBytes.Add(float64(len(r.raw)))
	return t, !known
}

// Request is one encoded request, as an engine takes it.
type Request struct {
	Body  []byte
	Items int // log entries or spans in Body; deliveries are formed by it
}

// Append stores a copy of a tenant's request and returns nil once it is on disk.
// The caller may reuse the request's bytes.
func (q *Queue) Append(ctx context.Context, tenant string, req Request) error {
	if tenant == "" || len(tenant) > maxTenantBytes {
		return fmt.Errorf("queue a request: the tenant's name has %d bytes", len(tenant))
	}
	c := &commit{record: newRecord(tenant, req.Body), done: make(chan error, 1)}
	if n := len(c.record.raw); n > commitBytes || int64(n) > q.opts.MaxBytes {
		return ErrTooLarge
	}
	if err := q.reserve(len(c.record.raw)); err != nil {
		return err
	}
	select {
	case q.commits <- c:
	case <-q.stopped:
		q.release(len(c.record.raw))
		return ErrClosed
	case <-ctx.Done():
		q.release(len(c.record.raw))
		return ctx.Err()
	}
	// From here on the committer owns the record, and its answer is prompt: it
	// isn't given up, since it may already be on disk.
	return <-c.done
}

// diskFactor bounds the log on disk, in units of MaxBytes.
const diskFactor = 4

func (q *Queue) reserve(n int) error {
	onDisk := q.log.size()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+int64(n) > q.opts.MaxBytes || onDisk > max(diskFactor*q.opts.MaxBytes, 2*rotateBytes) {
		return ErrFull
	}
	q.bytes += int64(n)
	return nil
}

// Close closes a queue that was opened and isn't run; Run closes it otherwise.
func (q *Queue) Close() error { return q.log.wal.Close() }

func (q *Queue) release(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= int64(n)
}
