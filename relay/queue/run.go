package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// checkpointEvery bounds how much is delivered twice after the process was
	// killed.
	checkpointEvery = time.Second
	// memoryBytes bounds the records that wait in memory; those beyond it are read
	// from disk when it is their turn.
	memoryBytes = 16 << 20
)

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
	q.spawn = func(l *line) { deliverers.Go(func() { q.deliver(delivery, l) }) }

	q.mu.Lock()
	for _, l := range q.lines {
		q.deliverLocked(l)
	}
	q.mu.Unlock()
	var keeper sync.WaitGroup
	if q.opts.Process != nil {
		keeper.Go(func() { q.keep(delivery) })
	}
	keeper.Go(func() { q.retryDead(delivery) })
	keeper.Go(func() { q.noteProgress(delivery) })

	q.accept(ctx)
	close(q.stopped)
	cancel()
	keeper.Wait() // it begins deliveries
	deliverers.Wait()
	return errors.Join(q.saveCheckpoint(), q.Close())
}

// accept commits what is appended until ctx ends. It is all that writes to the
// log.
func (q *Queue) accept(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case c := <-q.commits:
			q.commit(q.gather(c))
		case <-ticker.C: // a log that is too large is compacted while appends are refused for it
		case <-ctx.Done():
			return
		}
		if err := q.compact(); err != nil {
			q.opts.Log.Warn("the queue's log could not be compacted", "err", err)
		}
	}
}

// gather takes with c what else waits to be committed, so that one sync serves
// them all.
func (q *Queue) gather(c *commit) []*commit {
	batch := []*commit{c}
	if q.opts.Fsync == FsyncAlways {
		return batch
	}
	for size := len(c.record); size < commitBytes/2; {
		select {
		case c := <-q.commits:
			batch = append(batch, c)
			size += len(c.record)
		default:
			return batch
		}
	}
	return batch
}

// commit writes a batch to the log, answers its appends, and hands the records
// to their tenants' lines.
func (q *Queue) commit(batch []*commit) {
	records := make([]record, len(batch))
	for i, c := range batch {
		records[i] = c.record
		c.record.setSequence(q.sequence)
		q.sequence++
	}
	places, err := q.log.write(records)
	q.metrics.commits.Inc()
	q.mu.Lock()
	for i, r := range records {
		l := q.lines[r.tenant()]
		if err != nil {
			q.releaseLocked(l, int64(len(r)))
			continue
		}
		e := newEntry(r, places[i])
		if q.inMemory+int64(len(r)) <= memoryBytes {
			e.record = r
			q.inMemory += int64(len(r))
		}
		l.entries = append(l.entries, e)
		q.metrics.pendingRequests.Inc()
		q.metrics.pendingBytes.Add(float64(len(r)))
		q.deliverLocked(l)
	}
	q.mu.Unlock()
	for _, c := range batch {
		c.done <- err
	}
}

// noteProgress writes down now and then how far delivery is, until ctx ends.
func (q *Queue) noteProgress(ctx context.Context) {
	ticker := time.NewTicker(checkpointEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			q.checkpoint()
			q.measure()
		case <-ctx.Done():
			return
		}
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
