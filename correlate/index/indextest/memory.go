package indextest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/invoscope/invoscope/correlate/index"
)

// maxKey is the longest key that a store takes, in bytes.
const maxKey = 1024

var errClosed = errors.New("the store is closed")

// Memory is a store in memory. It calls each Update's change twice, as other stores
// may, and returns an error for what a caller of a store must not do.
type Memory struct {
	mu      sync.RWMutex
	closed  bool
	tenants map[string]*tenant
}

var _ index.Store = (*Memory)(nil)

// tenant holds each key once: in values, or in ordered when it has none.
type tenant struct {
	values  map[string]string
	ordered []string // ascending
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{tenants: map[string]*tenant{}} }

// Reopen returns a store of what m held, as a restart of a process would; m must be
// closed.
func (m *Memory) Reopen() *Memory {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return &Memory{tenants: m.tenants}
}

// Update implements [index.Store].
func (m *Memory) Update(ctx context.Context, name string, keys [][]byte, change func(values [][]byte, w *index.Writes) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check(ctx, name); err != nil {
		return err
	}
	for _, k := range keys {
		if err := checkKey(k, isValued); err != nil {
			return err
		}
	}
	var w index.Writes
	for range 2 {
		w = index.Writes{}
		values := make([][]byte, len(keys))
		for i, k := range keys {
			values[i] = m.value(name, k)
		}
		if err := change(values, &w); err != nil {
			return err
		}
	}
	if err := checkWrites(&w); err != nil {
		return err
	}
	m.apply(name, &w)
	return nil
}

func (m *Memory) apply(name string, w *index.Writes) {
	t := m.tenants[name]
	if t == nil {
		t = &tenant{values: map[string]string{}}
		m.tenants[name] = t
	}
	for _, k := range w.Delete {
		delete(t.values, string(k))
		if i, ok := slices.BinarySearch(t.ordered, string(k)); ok {
			t.ordered = slices.Delete(t.ordered, i, i+1)
		}
	}
	for _, kv := range w.Set {
		if isValued(kv.Key) {
			t.values[string(kv.Key)] = string(kv.Value)
		} else if i, ok := slices.BinarySearch(t.ordered, string(kv.Key)); !ok {
			t.ordered = slices.Insert(t.ordered, i, string(kv.Key))
		}
	}
	if len(t.values)+len(t.ordered) == 0 {
		delete(m.tenants, name)
	}
}

// Get implements [index.Store].
func (m *Memory) Get(ctx context.Context, name string, key []byte) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := errors.Join(m.check(ctx, name), checkKey(key, isValued)); err != nil {
		return nil, err
	}
	return m.value(name, key), nil
}

func (m *Memory) value(name string, key []byte) []byte {
	if t := m.tenants[name]; t != nil {
		if v, ok := t.values[string(key)]; ok {
			return []byte(v)
		}
	}
	return nil
}

// Scan implements [index.Store].
func (m *Memory) Scan(ctx context.Context, name string, r index.Range) ([][]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := errors.Join(m.check(ctx, name), checkBounds(r.From, r.To)); err != nil {
		return nil, err
	}
	t := m.tenants[name]
	if t == nil {
		return nil, nil
	}
	first, _ := slices.BinarySearch(t.ordered, string(r.From))
	end, _ := slices.BinarySearch(t.ordered, string(r.To))
	found := slices.Clone(t.ordered[first:max(first, end)])
	if r.Reverse {
		slices.Reverse(found)
	}
	var keys [][]byte
	for _, k := range found[:min(len(found), max(r.Limit, 0))] {
		keys = append(keys, []byte(k))
	}
	return keys, nil
}

// Tenants implements [index.Store].
func (m *Memory) Tenants(ctx context.Context) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check(ctx, "any"); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(m.tenants)), nil
}

// Sync implements [index.Store].
func (m *Memory) Sync(ctx context.Context) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.check(ctx, "any")
}

// Bytes implements [index.Store]: the bytes of all keys and values.
func (m *Memory) Bytes(ctx context.Context) (int64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.check(ctx, "any"); err != nil {
		return 0, err
	}
	n := 0
	for name, t := range m.tenants {
		n += len(name)
		for k, v := range t.values {
			n += len(k) + len(v)
		}
		for _, k := range t.ordered {
			n += len(k)
		}
	}
	return int64(n), nil
}

// Compact implements [index.Store].
func (m *Memory) Compact(ctx context.Context) error { return m.Sync(ctx) }

// Close implements [index.Store].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *Memory) check(ctx context.Context, name string) error {
	switch {
	case m.closed:
		return errClosed
	case name == "":
		return errors.New("no tenant")
	}
	return ctx.Err()
}

func isValued(key []byte) bool  { return key[0] >= 'a' && key[0] <= 'z' }
func isOrdered(key []byte) bool { return key[0] >= 'A' && key[0] <= 'Z' }

func checkKey(key []byte, family func([]byte) bool) error {
	if len(key) == 0 || len(key) > maxKey || !family(key) {
		return fmt.Errorf("key %q is empty, too long or of another family", key)
	}
	return nil
}

func checkBounds(from, to []byte) error {
	if err := checkKey(from, isOrdered); err != nil {
		return err
	}
	if len(to) == 0 || to[0] != from[0] && !bytes.Equal(to, []byte{from[0] + 1}) {
		return fmt.Errorf("a scan from %q to %q leaves the family", from, to)
	}
	return nil
}

func checkWrites(w *index.Writes) error {
	either := func(key []byte) bool { return isValued(key) || isOrdered(key) }
	for _, k := range w.Delete {
		if err := checkKey(k, either); err != nil {
			return err
		}
	}
	for _, kv := range w.Set {
		if err := checkKey(kv.Key, either); err != nil {
			return err
		}
		if isOrdered(kv.Key) && len(kv.Value) > 0 {
			return fmt.Errorf("key %q of an ordered family has a value", kv.Key)
		}
	}
	return nil
}
