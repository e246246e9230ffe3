package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

// checkpointEvery bounds how much is delivered twice after the process was
// killed.
const checkpointEvery = time.Second

// commit is an append on its way to the log.
type commit struct {
	record record
	done   chan error // buffered: the answer never blocks the committer
}

// Run takes appends and delivers them until ctx ends. What it accepted before
// that is on disk when it returns.
func (q *Queue) Run(ctx context.Context) error {
	delivery, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var deliverers sync.WaitGroup
	start := func(t *tenantQueue) { deliverers.Go(func() { q.deliver(delivery, t) }) }

	q.mu.Lock()
	for _, t := range q.waiting {
		start(t)
	}
	q.mu.Unlock()

	ticker := time.NewTicker(checkpointEvery)
	defer ticker.Stop()
	for running := true; running; {
		select {
		case c := <-q.commits:
			q.commit(q.gather(c), start)
		case <-ticker.C:
			q.checkpoint()
		case <-ctx.Done():
			running = false
		}
	}
	close(q.stopped)
	cancel()
	deliverers.Wait()
	return errors.Join(q.saveCheckpoint(), q.Close())
}

// gather takes with c what else waits to be committed, so that one sync serves
// them all.
func (q *Queue) gather(c *commit) []*commit {
	batch := []*commit{c}
	for size := len(c.record.raw); size < commitBytes/2; {
		select {
		case c := <-q.commits:
			batch = append(batch, c)
			size += len(c.record.raw)
		default:
			return batch
		}
	}
	return batch
}

// commit writes a batch to the log, answers its appends, and hands the records
// to their tenants' deliverers.
func (q *Queue) commit(batch []*commit, start func(*tenantQueue)) {
	recs := make([]record, len(batch))
	for i, c := range batch {
		recs[i] = c.record
		recs[i].setSequence(q.sequence)
		q.sequence++
	}
	err := q.log.write(recs)
	q.metrics.commits.Inc()
	q.mu.Lock()
	for _, r := range recs {
		if err != nil {
			q.bytes -= int64(len(r.raw))
		} else if t, fresh := q.enqueue(r); fresh {
			start(t)
		}
	}
	q.mu.Unlock()
	for _, c := range batch {
		c.done <- err
	}
}

func (q *Queue) checkpoint() {
	if err := q.saveCheckpoint(); err != nil {
		q.opts.Log.Warn("the queue's checkpoint wasn't written; what it misses is delivered again after a restart", "err", err)
	}
}

func (q *Queue) saveCheckpoint() error {
	q.mu.Lock()
	if !q.dirty {
		q.mu.Unlock()
		return nil
	}
	c := checkpoint{Delivered: make(map[string]uint64, len(q.delivered))}
	for tenant, n := range q.delivered {
		c.Delivered[tenant] = n
	}
	q.dirty = false
	q.mu.Unlock()
	err := c.write(q.checkpointPath())
	if err != nil {
		q.mu.Lock()
		q.dirty = true
		q.mu.Unlock()
	}
	return err
}
