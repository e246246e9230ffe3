package queue

import (
	"context"
	"errors"
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
	// maxDeliveries bounds the requests under way, and in memory for it. A tenant has
	// one at a time, and none while it waits to try again.
	maxDeliveries = 64
)

// errOvertaken ends a delivery whose line was rewound.
var errOvertaken = errors.New("the line was rewound")

// deliverLocked sees to it that a line is delivered.
func (q *Queue) deliverLocked(l *line) {
	if !l.delivering && l.sent < len(l.entries) {
		l.delivering = true
		q.spawn(l)
	}
}

// deliver sends a line's requests in order until none waits or ctx ends.
func (q *Queue) deliver(ctx context.Context, l *line) {
	for {
		batch, rewinds := q.next(l)
		if len(batch) == 0 {
			return
		}
		if !q.deliverBatch(ctx, l, batch, rewinds) {
			return
		}
	}
}

// next returns what to deliver. When there is nothing, the line's delivery ends:
// the next append begins another.
func (q *Queue) next(l *line) (batch []entry, rewinds int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.sent == len(l.entries) {
		l.delivering = false
		q.releaseLocked(l, 0)
		return nil, 0
	}
	return l.batch(q.opts.Codec != nil), l.rewinds
}

// deliverBatch delivers entries of a line as one request. It returns false when
// ctx ended first.
func (q *Queue) deliverBatch(ctx context.Context, l *line, batch []entry, rewinds int) bool {
	items := 0
	for _, e := range batch {
		items += e.items
	}
	life, ok := q.send(ctx, delivery{
		tenant: l.tenant, items: items, line: l, rewinds: rewinds,
		body: func() ([]byte, bool) { return q.load(ctx, l, batch) },
	})
	if ok {
		q.sent(l, rewinds, len(batch), life)
	}
	return ok
}

// life is that of the engine's process, if it has one that can lose what it took.
func (q *Queue) life() uint64 {
	if q.opts.Process == nil {
		return 0
	}
	return q.opts.Process.Life()
}

// load returns the entries' requests as one.
func (q *Queue) load(ctx context.Context, l *line, batch []entry) (body []byte, ok bool) {
	bodies := make([][]byte, 0, len(batch))
	for _, e := range batch {
		r, ok := q.recordOf(ctx, l, e)
		if !ok {
			return nil, false
		}
		if r != nil && len(r.body()) > 0 { // nothing is left of what was damaged
			bodies = append(bodies, r.body())
		}
	}
	switch len(bodies) {
	case 0:
		return nil, true
	case 1:
		return bodies[0], true
	default:
		return q.opts.Codec.Join(bodies), true
	}
}

// recordOf returns an entry's record, which it reads back if need be. The record
// is nil when what is on disk is no longer what was written; ok is false when ctx
// ended first.
func (q *Queue) recordOf(ctx context.Context, l *line, e entry) (r record, ok bool) {
	if e.record != nil {
		return e.record, true
	}
	wait := newBackoff()
	for {
		r, err := q.log.read(e.at)
		if err == nil && r.sequence() == e.sequence {
			return r, true
		}
		if moved, ok := q.whereIs(l, e.sequence); ok && moved != e.at {
			e.at = moved // the log was compacted meanwhile
			continue
		}
		if err == nil || errors.Is(err, errDamaged) {
			q.foundDamaged(l, e)
			return nil, true
		}
		q.opts.Log.Warn("delivery waits for the disk", "tenant", l.tenant, "err", err)
		if !sleep(ctx, wait.NextBackOff()) {
			return nil, false
		}
	}
}

func (q *Queue) foundDamaged(l *line, e entry) {
	q.metrics.damaged.Inc()
	q.opts.Log.Error("a request can't be delivered: its record on disk is damaged; a copy of the segment is kept",
		"tenant", l.tenant, "items", e.items, "segment", q.log.file(e.at.segment), "offset", e.at.offset, "copies", q.damagedPath())
	if err := q.log.keepDamaged(e.at.segment); err != nil {
		q.opts.Log.Error("no copy was kept", "err", err)
	}
}

func (q *Queue) whereIs(l *line, sequence uint64) (location, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i, ok := l.find(sequence)
	if !ok {
		return location{}, false
	}
	return l.entries[i].at, true
}

func newBackoff() *backoff.ExponentialBackOff {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = minBackoff, maxBackoff
	return wait
}

// delivery is a request on its way.
type delivery struct {
	tenant  string
	items   int
	line    *line
	rewinds int // the line's, when it was begun
	// body returns the request, empty if nothing is left of it; ok is false when the
	// delivery's context ended first. It is called anew for each attempt, so that what
	// waits to be tried again isn't in memory.
	body func() (body []byte, ok bool)
}

// half is a part of a delivery that was refused.
func (d delivery) half(body []byte, items int) delivery {
	d.items, d.body = items, func() ([]byte, bool) { return body, true }
	return d
}

// send sends a request until the engine has stored it, or what it refuses of it
// stands alone and is a dead letter. It returns the process's life from before the
// attempt that counted, so that waiting for a process to start doesn't look like
// its end, and false when ctx ended first.
func (q *Queue) send(ctx context.Context, d delivery) (life uint64, ok bool) {
	wait := newBackoff()
	for attempt := 1; ; attempt++ {
		life, refused, err := q.attempt(ctx, d)
		switch {
		case err == nil:
			q.metrics.delivered.WithLabelValues("stored").Inc()
			return life, true
		case errors.Is(err, errOvertaken):
			return 0, true // there is nothing to note: the line begins again
		case ctx.Err() != nil:
			return 0, false
		case refused != nil:
			return q.refused(ctx, d, refused, err)
		}
		q.metrics.retries.Inc()
		if attempt == 1 {
			q.opts.Log.Warn("delivery waits", "tenant", d.tenant, "err", err)
		}
		if !sleep(ctx, max(q.opts.Verdict(err).RetryAfter, wait.NextBackOff())) {
			return 0, false
		}
	}
}

// attempt sends a request once, when it is its turn. With an error for good it
// returns what was refused.
func (q *Queue) attempt(ctx context.Context, d delivery) (life uint64, refused []byte, err error) {
	select {
	case q.slots <- struct{}{}:
		defer func() { <-q.slots }()
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
	body, ok := d.body()
	if !ok {
		return 0, nil, ctx.Err()
	}
	life = q.life()
	if q.overtaken(d, life) {
		return 0, nil, errOvertaken
	}
	if len(body) == 0 {
		return life, nil, nil
	}
	soon, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err = q.opts.Send(soon, d.tenant, body)
	if err != nil && q.opts.Verdict(err).Permanent {
		refused = body
	}
	return life, refused, err
}

// refused sends a request that the engine refused in two halves, so that only
// what is bad isn't stored. What can't be halved becomes a dead letter.
func (q *Queue) refused(ctx context.Context, d delivery, body []byte, reason error) (life uint64, ok bool) {
	if q.opts.Codec != nil {
		if first, second, ok := q.opts.Codec.Split(body); ok {
			if life, ok = q.send(ctx, d.half(first, d.items/2)); !ok {
				return 0, false
			}
			// The first half's life counts: it can only be the earlier one.
			_, ok = q.send(ctx, d.half(second, d.items-d.items/2))
			return life, ok
		}
	}
	wait := newBackoff()
	for attempt := 1; ; attempt++ {
		err := q.Bury(ctx, d.tenant, reason.Error(), Request{Body: body, Items: d.items})
		if err == nil {
			q.metrics.delivered.WithLabelValues("refused").Inc()
			q.opts.Log.Warn("the engine refused something; it is kept as a dead letter (see invoscope queue dead)", "tenant", d.tenant, "err", reason)
			return q.life(), true
		}
		if attempt == 1 {
			q.opts.Log.Error("delivery waits: the engine refused something, and it can't be kept as a dead letter (see invoscope queue dead)",
				"tenant", d.tenant, "err", err, "reason", reason)
		}
		if !sleep(ctx, wait.NextBackOff()) {
			return 0, false
		}
	}
}

// sent notes that the engine has the line's next n entries, unless the line was
// rewound meanwhile.
func (q *Queue) sent(l *line, rewinds, n int, life uint64) {
	q.mu.Lock()
	if l.rewinds != rewinds {
		q.mu.Unlock()
		return
	}
	for i := l.sent; i < l.sent+n; i++ {
		q.inMemory -= int64(len(l.entries[i].record))
		l.entries[i].record = nil
	}
	l.sent += n
	q.metrics.pendingRequests.Sub(float64(n))
	if q.opts.Process != nil {
		q.metrics.kept.Add(float64(n))
		q.kept.groups = append(q.kept.groups, group{line: l, rewinds: rewinds, n: n, life: life, beat: q.kept.beats})
		q.mu.Unlock()
		return
	}
	q.mu.Unlock()
	q.finish(l, rewinds, n)
}

// finish takes the line's first n entries, which are sent, out of the queue.
func (q *Queue) finish(l *line, rewinds, n int) {
	q.mu.Lock()
	if l.rewinds != rewinds {
		q.mu.Unlock()
		return
	}
	done := l.entries[:n]
	segments := map[int]int{}
	var bytes int64
	for i := range done {
		segments[done[i].at.segment]++
		bytes += int64(done[i].at.size)
	}
	q.delivered[l.tenant] = done[n-1].sequence
	q.dirty = true
	l.entries = l.entries[n:]
	l.sent -= n
	q.releaseLocked(l, bytes)
	q.metrics.pendingBytes.Sub(float64(bytes))
	if q.opts.Process != nil {
		q.metrics.kept.Sub(float64(n))
	}
	q.mu.Unlock()
	for segment, n := range segments {
		if err := q.log.letGo(segment, n); err != nil {
			q.opts.Log.Warn("delivered data stays on disk for now", "err", err)
		}
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
