package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A store that can't be opened is tried again after firstReopen, and then after twice
// as long each time, up to lastReopen: a store that failed may never give back what it
// took.
const (
	firstReopen = 5 * time.Second
	lastReopen  = time.Hour
)

// Open opens a store. why is the failure of the one before, or nil.
type Open func(ctx context.Context, why error) (Store, error)

// Failing is a store that can fail for good. Failure returns why it did, or nil.
type Failing interface{ Failure() error }

// Reopening is a store that may be away: it is opened again when it couldn't be, or
// has failed for good. Meanwhile it returns errors at once.
type Reopening struct {
	open Open
	log  *slog.Logger
	now  func() time.Time

	mu      sync.Mutex
	store   Store         // nil while there is none
	why     error         // there is none
	opening bool          // somebody tries
	next    time.Time     // when to try again
	wait    time.Duration // after the next failure
	closed  bool
}

var _ Store = (*Reopening)(nil)

// NewReopening opens a store for the first time. That it can't is logged.
func NewReopening(ctx context.Context, open Open, log *slog.Logger, now func() time.Time) *Reopening {
	r := &Reopening{open: open, log: log, now: now, wait: firstReopen}
	_, _ = r.current(ctx)
	return r
}

// current returns the store, which it opens if it is time to.
func (r *Reopening) current(ctx context.Context) (Store, error) {
	r.mu.Lock()
	switch {
	case r.closed:
		r.mu.Unlock()
		return nil, errors.New("the invocation index is closed")
	case r.store != nil:
		defer r.mu.Unlock()
		return r.store, nil
	case r.opening || r.now().Before(r.next):
		defer r.mu.Unlock()
		return nil, fmt.Errorf("the invocation index is away: %w", r.why)
	}
	r.opening = true
	why := r.why
	r.mu.Unlock()

	// Whoever asks first may leave before it is open.
	store, err := r.open(context.WithoutCancel(ctx), why)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.opening = false
	switch {
	case err != nil:
		r.why, r.next = err, r.now().Add(r.wait)
		r.log.Error("the invocation index can't be opened; all else goes on without it", "err", err, "again_in", r.wait)
		r.wait = min(2*r.wait, lastReopen)
		return nil, err
	case r.closed:
		return nil, errors.Join(errors.New("the invocation index is closed"), store.Close())
	}
	r.store, r.why = store, nil
	return store, nil
}

// judge gives up a store that failed for good, as err may be a sign of.
func (r *Reopening) judge(s Store, err error) {
	f, can := s.(Failing)
	if err == nil || !can || f.Failure() == nil {
		return
	}
	r.mu.Lock()
	if r.store != s {
		r.mu.Unlock()
		return
	}
	r.store, r.why, r.next = nil, f.Failure(), r.now().Add(r.wait)
	r.wait = min(2*r.wait, lastReopen)
	r.mu.Unlock()
	_ = s.Close() // it has failed
}

// Update implements [Store].
func (r *Reopening) Update(ctx context.Context, tenant string, keys [][]byte, change func(values [][]byte, w *Writes) error) error {
	s, err := r.current(ctx)
	if err != nil {
		return err
	}
	err = s.Update(ctx, tenant, keys, change)
	r.judge(s, err)
	return err
}

// Get implements [Store].
func (r *Reopening) Get(ctx context.Context, tenant string, key []byte) ([]byte, error) {
	s, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	value, err := s.Get(ctx, tenant, key)
	r.judge(s, err)
	return value, err
}

// Scan implements [Store].
func (r *Reopening) Scan(ctx context.Context, tenant string, of Range) ([][]byte, error) {
	s, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := s.Scan(ctx, tenant, of)
	r.judge(s, err)
	return keys, err
}

// Tenants implements [Store].
func (r *Reopening) Tenants(ctx context.Context) ([]string, error) {
	s, err := r.current(ctx)
	if err != nil {
		return nil, err
	}
	tenants, err := s.Tenants(ctx)
	r.judge(s, err)
	return tenants, err
}

// Sync implements [Store].
func (r *Reopening) Sync(ctx context.Context) error {
	s, err := r.current(ctx)
	if err != nil {
		return err
	}
	err = s.Sync(ctx)
	r.judge(s, err)
	return err
}

// Bytes implements [Store].
func (r *Reopening) Bytes(ctx context.Context) (int64, error) {
	s, err := r.current(ctx)
	if err != nil {
		return 0, err
	}
	size, err := s.Bytes(ctx)
	r.judge(s, err)
	return size, err
}

// Compact implements [Store].
func (r *Reopening) Compact(ctx context.Context) error {
	s, err := r.current(ctx)
	if err != nil {
		return err
	}
	err = s.Compact(ctx)
	r.judge(s, err)
	return err
}

// Close implements [Store].
func (r *Reopening) Close() error {
	r.mu.Lock()
	s := r.store
	r.store, r.closed = nil, true
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.Close()
}
