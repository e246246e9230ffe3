package ship

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errClosed is what a source gets for a line it brings after the queue closed.
var errClosed = errors.New("no more lines are taken")

// counts is the state of a shipment, in lines.
type counts struct{ read, acked, dropped int64 }

// open is how many lines are neither acknowledged nor dropped.
func (c counts) open() int64 { return c.read - c.acked - c.dropped }

// queue passes lines from sources to the one goroutine that pushes them. It
// holds the batch being filled and the batch being pushed, so reading goes on
// during a push and stops when both are full.
type queue struct {
	mu      sync.Mutex
	moved   sync.Cond     // there is room, or lines were settled, or the queue failed
	look    chan struct{} // capacity 1: run should look whether a batch is due
	failed  chan struct{} // closed with err set
	pending *batch
	spare   *batch // nil while it is being pushed
	count   counts
	urgent  bool // someone waits for pending to be sent
	closed  bool
	err     error
}

func newQueue() *queue {
	q := &queue{
		look:    make(chan struct{}, 1),
		failed:  make(chan struct{}),
		pending: new(batch),
		spare:   new(batch),
	}
	q.moved.L = &q.mu
	return q
}

// add takes a line, whose bytes the caller may reuse afterwards. It waits while
// the queue is full. An error means that the line will not be delivered.
func (q *queue) add(line []byte, from origin) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errClosed
	}
	q.count.read++
	for q.err == nil && q.pending.full(len(line)) {
		q.hurry()
		q.moved.Wait()
	}
	if q.err != nil {
		return q.err
	}
	q.pending.add(line, from)
	if len(q.pending.ends) == 1 || q.pending.full(1) {
		q.nudge()
	}
	return nil
}

// flush waits until every line added so far is settled, without waiting for
// batches to fill. An error means that some never will be.
func (q *queue) flush() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hurry()
	for upTo := q.count.read; q.err == nil && q.count.acked+q.count.dropped < upTo; {
		q.moved.Wait()
	}
	return q.err
}

// close refuses further lines. run ends once those taken are settled.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.nudge()
}

func (q *queue) counts() counts {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// deliverFunc pushes a batch and returns how many of its lines were
// acknowledged and how many dropped. After an error nothing more is pushed.
type deliverFunc func(context.Context, *batch) (acked, dropped int, err error)

// run delivers batches until the queue is closed and empty, or until an error,
// which it also hands to everyone who waits.
func (q *queue) run(ctx context.Context, deliver deliverFunc) error {
	for {
		b, err := q.take(ctx)
		if err != nil {
			return q.fail(err)
		}
		if b == nil {
			return nil
		}
		b.seal()
		acked, dropped, err := deliver(ctx, b)
		q.settle(b, acked, dropped)
		if err != nil {
			return q.fail(err)
		}
	}
}

// take waits for a batch that is due. It returns nil when the queue is closed
// and empty.
func (q *queue) take(ctx context.Context) (*batch, error) {
	for {
		b, wait, done := q.due()
		if b != nil || done {
			return b, nil
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-q.look:
		case <-timer:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// due hands out the pending batch if it is time to send it, and otherwise tells
// how long to wait: 0 is until something happens.
func (q *queue) due() (b *batch, wait time.Duration, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pending.empty() {
		return nil, 0, q.closed
	}
	wait = maxBatchAge - time.Since(q.pending.first)
	if wait > 0 && !q.urgent && !q.closed && !q.pending.full(1) {
		return nil, wait, false
	}
	b, q.pending, q.spare, q.urgent = q.pending, q.spare, nil, false
	q.moved.Broadcast()
	return b, 0, false
}

func (q *queue) settle(b *batch, acked, dropped int) {
	b.reset()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = b
	q.count.acked += int64(acked)
	q.count.dropped += int64(dropped)
	q.moved.Broadcast()
}

func (q *queue) fail(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
	close(q.failed)
	q.moved.Broadcast()
	return err
}

// hurry has the pending batch sent before it is full or old.
func (q *queue) hurry() {
	q.urgent = !q.pending.empty()
	q.nudge()
}

// nudge makes run look again.
func (q *queue) nudge() {
	select {
	case q.look <- struct{}{}:
	default:
	}
}
