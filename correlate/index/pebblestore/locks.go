package pebblestore

import (
	"context"
	"hash/maphash"
	"sync"
)

// locks holds the keys that updates work on. A set of keys is locked all at once, so
// updates wait for each other only where their keys meet, and never in a circle.
type locks struct {
	seed maphash.Seed
	mu   sync.Mutex
	held map[uint64]chan struct{} // by hash; closed when its holder lets go
}

func newLocks() *locks {
	return &locks{seed: maphash.MakeSeed(), held: map[uint64]chan struct{}{}}
}

// lock waits until nobody holds any of keys, and returns what lets go of them.
func (l *locks) lock(ctx context.Context, keys [][]byte) (unlock func(), err error) {
	hashes := make([]uint64, len(keys))
	for i, k := range keys {
		hashes[i] = maphash.Bytes(l.seed, k)
	}
	for {
		holder := l.tryLock(hashes)
		if holder == nil {
			return func() { l.unlock(hashes) }, nil
		}
		select {
		case <-holder:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryLock locks hashes, or returns the channel of one who holds some.
func (l *locks) tryLock(hashes []uint64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range hashes {
		if holder := l.held[h]; holder != nil {
			return holder
		}
	}
	mine := make(chan struct{})
	for _, h := range hashes {
		l.held[h] = mine
	}
	return nil
}

func (l *locks) unlock(hashes []uint64) {
	if len(hashes) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.held[hashes[0]])
	for _, h := range hashes {
		delete(l.held, h)
	}
}
