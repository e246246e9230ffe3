package queue

import (
	"fmt"
	"time"
)

// Status says how a queue is doing.
type Status struct {
	Bytes  int64         // of requests that aren't done with
	Oldest time.Duration // how long the oldest has waited that the engine hasn't stored yet
	// Full is why it takes no more requests of somebody, at least of those who have most
	// in it; nil if it takes everybody's.
	Full error
}

// Status returns how the queue is doing.
func (q *Queue) Status() Status {
	now, onDisk := q.opts.Now(), q.log.size()
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Status{Bytes: q.bytes}
	bound := ""
	for _, l := range q.lines {
		waiting := l.waitingSince(now)
		s.Oldest = max(s.Oldest, waiting)
		if b := q.bound(l, 1, onDisk); b != "" {
			bound = b
		}
	}
	if bound != "" {
		s.Full = fmt.Errorf("%w (%s)", ErrFull, bound)
	}
	return s
}

// bound returns which bound n more bytes of a tenant would reach; mu is held. The line
// is nil if the tenant has none.
func (q *Queue) bound(l *line, n, onDisk int64) string {
	switch {
	case q.bytes+n > q.opts.MaxBytes:
		return "bytes"
	case onDisk > 2*q.opts.MaxBytes+2*spareSegments*q.log.rotate:
		return "disk"
	case l != nil && l.bytes+n > q.opts.TenantMaxBytes:
		return "tenant_bytes"
	case l != nil && q.opts.MaxAge > 0 && l.waitingSince(q.opts.Now()) > q.opts.MaxAge:
		return "age"
	}
	return ""
}
