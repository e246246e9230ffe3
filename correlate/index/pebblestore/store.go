package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/invoscope/invoscope/correlate/index"
)

var (
	// ErrFull means that the disk is full. The store goes on by itself once there is
	// room.
	ErrFull = errors.New("the disk of the index store is full")
	// ErrCorrupt means that files of the store are damaged or missing. It can be
	// opened again once its directory was moved away.
	ErrCorrupt = errors.New("files of the index store are damaged")

	errClosed = errors.New("the index store is closed")
	errLocked = errors.New("lock its directory")
)

// Store keeps the index on disk. Its methods return [ErrFull], or why the store is
// out of use, without waiting for Pebble.
type Store struct {
	dir     string
	fs      vfs.FS
	guard   *guard
	locks   *locks
	metrics *metrics

	mu sync.RWMutex // held to read by whoever uses db
	db *pebble.DB   // nil once closed

	stopping chan struct{} // closed when Close begins
	closing  sync.Once
	closeErr error
}

var _ index.Store = (*Store)(nil)

// Failure implements [index.Failing].
func (s *Store) Failure() error { return s.guard.failure() }

// call is something to ask Pebble for.
type call[T any] struct {
	do func(db *pebble.DB) (T, error)
	// full is closed when do may wait for room on the disk; nil when it never does.
	full <-chan struct{}
	// finally is called when do is over, or won't be called.
	finally func()
}

// run makes a call, and returns without waiting for it when ctx ends, the disk is
// full or the store fails: Pebble may then hold it for as long as it likes.
func run[T any](ctx context.Context, s *Store, c call[T]) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer c.finally()
		var r result
		r.value, r.err = protect(ctx, s, c.do)
		done <- r
	}()
	var none T
	select {
	case r := <-done:
		return r.value, r.err
	case <-c.full:
		return none, ErrFull
	case <-s.guard.failed:
		return none, s.guard.failure()
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// protect calls do. A panic of Pebble or damaged data puts the store out of use.
func protect[T any](ctx context.Context, s *Store, do func(db *pebble.DB) (T, error)) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pebble panicked: %v", p)
			s.guard.log.Error("pebble panicked", "panic", p, "stack", string(debug.Stack()))
			s.guard.fail(err)
		}
	}()
	if err := errors.Join(ctx.Err(), s.guard.failure()); err != nil {
		return value, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return value, errClosed
	}
	value, err = do(s.db)
	if pebble.IsCorruptionError(err) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		s.guard.fail(err)
	}
	return value, err
}

// read is run for what never waits for the disk to have room.
func read[T any](ctx context.Context, s *Store, do func(db *pebble.DB) (T, error)) (T, error) {
	return run(ctx, s, call[T]{do: do, finally: func() {}})
}

// write is run for what may.
func (s *Store) write(ctx context.Context, do func(db *pebble.DB) error, finally func()) error {
	full := s.guard.fullness()
	select {
	case <-full:
		finally()
		return ErrFull
	default:
	}
	_, err := run(ctx, s, call[struct{}]{
		do:      func(db *pebble.DB) (struct{}, error) { return struct{}{}, do(db) },
		full:    full,
		finally: finally,
	})
	return err
}

// Update implements [index.Store]. Only updates whose keys meet wait for each
// other. When the disk is full, or ctx ends, what it writes may yet be written.
func (s *Store) Update(ctx context.Context, tenant string, keys [][]byte, change func(values [][]byte, w *index.Writes) error) error {
	stored := make([][]byte, len(keys))
	for i, k := range keys {
		stored[i] = storeKey(tenant, k)
	}
	unlock, err := s.locks.lock(ctx, stored)
	if err != nil {
		return err
	}
	w, err := s.plan(ctx, stored, change)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || len(w.Set)+len(w.Delete) == 0 {
		unlock()
		return err
	}
	return s.write(ctx, func(db *pebble.DB) error { return apply(db, tenant, w) }, unlock)
}

// plan reads keys and asks change what to write.
func (s *Store) plan(ctx context.Context, keys [][]byte, change func(values [][]byte, w *index.Writes) error) (*index.Writes, error) {
	values, err := read(ctx, s, func(db *pebble.DB) ([][]byte, error) {
		values := make([][]byte, len(keys))
		for i, k := range keys {
			var err error
			if values[i], err = get(db, k); err != nil {
				return nil, err
			}
		}
		return values, nil
	})
	if err != nil {
		return nil, err
	}
	w := &index.Writes{}
	return w, change(values, w)
}

// apply writes w. It is written at once, and synced by [Store.Sync].
func apply(db *pebble.DB, tenant string, w *index.Writes) (err error) {
	b := db.NewBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	for _, k := range w.Delete {
		if err := b.Delete(storeKey(tenant, k), nil); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	for _, kv := range w.Set {
		if err := b.Set(storeKey(tenant, kv.Key), kv.Value, nil); err != nil {
			return fmt.Errorf("set: %w", err)
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Get implements [index.Store].
func (s *Store) Get(ctx context.Context, tenant string, key []byte) ([]byte, error) {
	stored := storeKey(tenant, key)
	return read(ctx, s, func(db *pebble.DB) ([]byte, error) { return get(db, stored) })
}

func get(db *pebble.DB, key []byte) ([]byte, error) {
	value, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	defer closer.Close()
	return append([]byte{}, value...), nil
}

// Sync implements [index.Store]. Syncs that wait at the same time share one.
func (s *Store) Sync(ctx context.Context) error {
	return s.write(ctx, func(db *pebble.DB) error {
		if err := db.LogData(nil, pebble.Sync); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
		return nil
	}, func() {})
}
