package queue

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Verdict is what an error of [Send] means for the request.
type Verdict struct {
	// Permanent is true when sending the same request again can't succeed.
	Permanent bool
	// RetryAfter is how long the engine asked to wait; zero leaves it to us.
	RetryAfter time.Duration
}

const (
	sendTimeout = 30 * time.Second
	minBackoff  = 50 * time.Millisecond
	maxBackoff  = 5 * time.Second
)

// deliver sends a tenant's records in order until none waits or ctx ends.
func (q *Queue) deliver(ctx context.Context, t *tenantQueue) {
	for {
		r, ok := q.head(t)
		if !ok {
			return
		}
		if !q.send(ctx, t.name, r) {
			return
		}
		q.finish(t, r)
	}
}

// head returns the tenant's first record. When there is none, the tenant's line
// ends: the next append begins another.
func (q *Queue) head(t *tenantQueue) (record, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(t.records) == 0 {
		delete(q.waiting, t.name)
		return record{}, false
	}
	return t.records[0], true
}

// send sends a record until the engine has stored it or refused it for good. It
// returns false when ctx ended first.
func (q *Queue) send(ctx context.Context, tenant string, r record) bool {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = minBackoff, maxBackoff
	for attempt := 1; ; attempt++ {
		err := q.sendOnce(ctx, tenant, r)
		if err == nil {
			q.metrics.delivered.WithLabelValues("stored").Inc()
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		verdict := q.opts.Verdict(err)
		if verdict.Permanent {
			q.metrics.delivered.WithLabelValues("refused").Inc()
			q.opts.Log.Error("the engine refused a request; the bad part of it is lost",
				"tenant", tenant, "bytes", len(r.body()), "err", err)
			return true
		}
		q.metrics.retries.Inc()
		if attempt == 1 {
			q.opts.Log.Warn("delivery waits", "tenant", tenant, "err", err)
		}
		if !sleep(ctx, max(verdict.RetryAfter, wait.NextBackOff())) {
			return false
		}
	}
}

func (q *Queue) sendOnce(ctx context.Context, tenant string, r record) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return q.opts.Send(ctx, tenant, r.body())
}

// finish takes a record that is done with out of the queue.
func (q *Queue) finish(t *tenantQueue, r record) {
	q.mu.Lock()
	t.records[0] = record{} // lets go of its bytes
	t.records = t.records[1:]
	q.bytes -= int64(len(r.raw))
	q.delivered[t.name] = r.sequence()
	q.dirty = true
	q.metrics.pendingRequests.Dec()
	q.metrics.pendingBytes.Sub(float64(len(r.raw)))
	q.mu.Unlock()
	if err := q.log.delivered(r.segment); err != nil {
		q.opts.Log.Warn("delivered data stays on disk for now", "err", err)
	}
}

// sleep waits for d and returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
