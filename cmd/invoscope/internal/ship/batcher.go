package ship

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// errClosed is what a source gets for a line it brings after the batcher closed.
var errClosed = errors.New("no more lines are taken")

// maxGroup is how many batches are stored at once: waiting for the disk is what
// storing costs, and costs it once a group.
const maxGroup = 4

// batcher makes batches of the lines that sources bring, and one goroutine stores
// them. It holds the group being stored and as many batches behind it, so reading
// goes on meanwhile and stops when all are full.
type batcher struct {
	mu      sync.Mutex
	moved   sync.Cond     // there is room, or lines were stored, or it failed
	look    chan struct{} // capacity 1: run should look whether a batch is due
	failed  chan struct{} // closed with err set
	filling *batch
	ready   []*batch // full ones, the oldest first
	free    []*batch
	read    int64 // lines added
	stored  int64 // lines stored
	urgent  bool  // someone waits for filling to be stored
	closed  bool
	err     error
}

func newBatcher() *batcher {
	b := &batcher{
		look:    make(chan struct{}, 1),
		failed:  make(chan struct{}),
		filling: new(batch),
	}
	for range 2*maxGroup - 1 {
		b.free = append(b.free, new(batch))
	}
	b.moved.L = &b.mu
	return b
}

// add takes a line, whose bytes the caller may reuse afterwards. It waits while
// there is no room. An error means that the line will not be stored.
func (b *batcher) add(line []byte, at time.Time, from *source) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	b.read++
	for b.err == nil && b.filling.full(len(line)) {
		if b.next() {
			break
		}
		b.moved.Wait()
	}
	if b.err != nil {
		return b.err
	}
	b.filling.add(line, at, from)
	if len(b.filling.lines) == 1 || b.filling.full(1) {
		b.nudge()
	}
	return nil
}

// next puts the batch being filled among those that are ready, if there is a free
// one to go on with.
func (b *batcher) next() bool {
	if len(b.free) == 0 {
		return false
	}
	last := len(b.free) - 1
	b.ready = append(b.ready, b.filling)
	b.filling, b.free = b.free[last], b.free[:last]
	b.nudge()
	return true
}

// flush waits until every line added so far is stored, without waiting for
// batches to fill. An error means that some never will be.
func (b *batcher) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hurry()
	for upTo := b.read; b.err == nil && b.stored < upTo; {
		b.moved.Wait()
	}
	return b.err
}

// close refuses further lines. run ends once those taken are stored.
func (b *batcher) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.nudge()
}

// counts returns how many lines were added and how many of them are stored.
func (b *batcher) counts() (read, stored int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read, b.stored
}

// run stores batches until the batcher is closed and empty, or until an error,
// which it also hands to everyone who waits.
func (b *batcher) run(ctx context.Context, store func(context.Context, []*batch) error) error {
	for {
		group := b.take()
		if group == nil {
			return nil
		}
		if err := store(ctx, group); err != nil {
			return b.fail(err)
		}
		b.done(group)
	}
}

// take waits for batches that are due. It returns nil when the batcher is closed
// and empty.
func (b *batcher) take() []*batch {
	for {
		group, wait, done := b.due()
		if group != nil || done {
			return group
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-b.look:
		case <-timer:
		}
	}
}

// due hands out the batches that it is time to store, and if there are none tells
// how long to wait: 0 is until something happens.
func (b *batcher) due() (group []*batch, wait time.Duration, done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.filling.empty() {
		wait = maxBatchAge - time.Since(b.filling.first)
		if (wait <= 0 || b.urgent || b.closed || b.filling.full(1)) && len(b.ready) < maxGroup && b.next() {
			b.urgent, wait = false, 0
		}
	}
	n := min(len(b.ready), maxGroup)
	if n == 0 {
		return nil, max(wait, 0), b.closed && b.filling.empty()
	}
	group = slices.Clone(b.ready[:n])
	b.ready = slices.Delete(b.ready, 0, n)
	b.moved.Broadcast()
	return group, 0, false
}

func (b *batcher) done(group []*batch) {
	n := 0
	for _, stored := range group {
		n += len(stored.lines)
		stored.reset()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, group...)
	b.stored += int64(n)
	b.moved.Broadcast()
}

func (b *batcher) fail(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	close(b.failed)
	b.moved.Broadcast()
	return err
}

// hurry has the batch being filled stored before it is full or old.
func (b *batcher) hurry() {
	b.urgent = !b.filling.empty()
	b.nudge()
}

// nudge makes run look again.
func (b *batcher) nudge() {
	select {
	case b.look <- struct{}{}:
	default:
	}
}
