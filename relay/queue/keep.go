package queue

import (
	"context"
	"slices"
	"time"
)

const (
	// beatEvery is how often a process is asked whether it runs.
	beatEvery = time.Second
)

// keeping is the requests that were delivered to a process that could still
// forget them. The queue's mutex guards it.
type keeping struct {
	life   uint64 // of the process, when it was last looked at
	beats  uint64 // how often it was seen running
	groups []group
}

// group is the entries of one delivery.
type group struct {
	line    *line
	rewinds int // the line's, when they were delivered
	n       int
	life    uint64 // the process's, before they were delivered
	beat    uint64
}

// keep looks after the process until ctx ends.
func (q *Queue) keep(ctx context.Context) {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			q.beat(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// beat lets go of what is safe by now, and has delivered again what was lost with
// a process's life.
func (q *Queue) beat(ctx context.Context) {
	life := q.opts.Process.Life()
	q.resendUnless(life)
	if life == 0 || !q.keepsAny() {
		return
	}
	soon, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	if q.opts.Process.Running(soon) != nil || q.opts.Process.Life() != life {
		return
	}
	q.mu.Lock()
	q.kept.beats++
	n := 0
	for n < len(q.kept.groups) && q.kept.groups[n].beat+q.opts.SafeBeats < q.kept.beats {
		n++
	}
	safe := q.kept.groups[:n]
	q.kept.groups = q.kept.groups[n:]
	q.mu.Unlock()
	for _, g := range safe {
		q.finish(g.line, g.rewinds, g.n)
	}
}

func (q *Queue) keepsAny() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.kept.groups) > 0
}

// resendUnless rewinds the lines of what was delivered to another life.
func (q *Queue) resendUnless(life uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.kept.life = life
	var lost []*line
	for _, g := range q.kept.groups {
		if g.life != life && g.rewinds == g.line.rewinds {
			lost = append(lost, g.line)
			q.metrics.kept.Sub(float64(g.line.sent))
			q.metrics.pendingRequests.Add(float64(g.line.sent))
			q.metrics.resent.Add(float64(g.line.sent))
			g.line.rewind()
		}
	}
	if len(lost) == 0 {
		return
	}
	q.kept.groups = slices.DeleteFunc(q.kept.groups, func(g group) bool { return g.rewinds != g.line.rewinds })
	for _, l := range lost {
		q.deliverLocked(l)
	}
	q.opts.Log.Warn("the engine's process ended; what it may have forgotten is delivered again", "tenants", len(lost))
}

// overtaken reports whether a delivery's line was rewound since it was begun. It looks
// at the process's life first: what is delivered to a new life before what the old one
// took along would be delivered to it twice.
func (q *Queue) overtaken(d delivery, life uint64) bool {
	if q.opts.Process == nil {
		return false
	}
	q.mu.Lock()
	seen := q.kept.life
	q.mu.Unlock()
	if life != seen && life != 0 {
		q.resendUnless(life)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return d.line.rewinds != d.rewinds
}
