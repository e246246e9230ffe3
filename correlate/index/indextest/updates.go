package indextest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/invoscope/invoscope/correlate/index"
)

// increment adds one to counters, and records in an ordered family what they are.
func increment(ctx context.Context, s index.Store, tenant string, counters ...string) error {
	return s.Update(ctx, tenant, byteSlices(counters), func(values [][]byte, w *index.Writes) error {
		for i, v := range values {
			n := number(v)
			key := []byte(counters[i])
			if v != nil {
				w.Delete = append(w.Delete, ordered(key, n))
			}
			w.Set = append(w.Set,
				index.KeyValue{Key: key, Value: binary.BigEndian.AppendUint64(nil, n+1)},
				index.KeyValue{Key: ordered(key, n+1)})
		}
		return nil
	})
}

func number(value []byte) uint64 {
	if value == nil {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

func ordered(key []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("C"), key...), n)
}

// wantCounter expects a counter, and that its only ordered key agrees.
func (s *store) wantCounter(t *testing.T, tenant, key string, want uint64) {
	t.Helper()
	value, err := s.Get(t.Context(), tenant, []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	if got := number(value); got != want {
		t.Errorf("%s of %s: got %d, want %d", key, tenant, got, want)
	}
	s.wantScan(t, tenant, scan{from: "C" + key, to: "C" + key + "\xff", limit: 9}, string(ordered([]byte(key), want)))
}

// testCounters increments the same counters from many goroutines, of two tenants.
func testCounters(t *testing.T, open opener) { countOn(t, open(t)) }

// countOn increments the same counters through stores of the same place.
func countOn(t *testing.T, stores ...*store) {
	const writers, each = 16, 40
	g, ctx := errgroup.WithContext(t.Context())
	for w := range writers {
		s := stores[w%len(stores)]
		for _, tenant := range []string{"a", "a-b"} {
			g.Go(func() error {
				for range each {
					if err := increment(ctx, s, tenant, "c1"); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, s := range stores {
		s.wantCounter(t, "a", "c1", writers*each)
		s.wantCounter(t, "a-b", "c1", writers*each)
	}
}

// testOverlap increments random sets of counters, in random order.
func testOverlap(t *testing.T, open opener) { overlapOn(t, open(t)) }

func overlapOn(t *testing.T, stores ...*store) {
	const writers, each, counters = 8, 40, 12
	g, ctx := errgroup.WithContext(t.Context())
	sums := make([][counters]uint64, writers)
	for w := range writers {
		s := stores[w%len(stores)]
		g.Go(func() error {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range each {
				var keys []string
				for _, c := range random.Perm(counters)[:1+random.IntN(4)] {
					sums[w][c]++
					keys = append(keys, fmt.Sprintf("c%02d", c))
				}
				if err := increment(ctx, s, "a", keys...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for c := range counters {
		var want uint64
		for w := range sums {
			want += sums[w][c]
		}
		for _, s := range stores {
			s.wantCounter(t, "a", fmt.Sprintf("c%02d", c), want)
		}
	}
}

// testSeenWhole moves a key of an ordered family along while others scan: they
// see it once.
func testSeenWhole(t *testing.T, open opener) {
	s := open(t)
	if err := increment(t.Context(), s, "a", "c1"); err != nil {
		t.Fatal(err)
	}
	g, ctx := errgroup.WithContext(t.Context())
	done := make(chan struct{})
	g.Go(func() error {
		defer close(done)
		for range 300 {
			if err := increment(ctx, s, "a", "c1"); err != nil {
				return err
			}
		}
		return nil
	})
	for range 4 {
		g.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				keys, err := s.Scan(ctx, "a", index.Range{From: []byte("C"), To: []byte("D"), Limit: 9})
				if err != nil {
					return err
				}
				if len(keys) != 1 {
					return fmt.Errorf("a scan saw %d keys of 1: %q", len(keys), keys)
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// testLarge has one update of more keys than a network's or a log's buffer holds.
func testLarge(t *testing.T, open opener) {
	const n = 5000
	s := open(t)
	value := bytes.Repeat([]byte("v"), 500)
	var w index.Writes
	var keys [][]byte
	var want []string
	for i := range n {
		key := fmt.Appendf(nil, "r%06d", i)
		keys, want = append(keys, key), append(want, fmt.Sprintf("T%06d", i))
		w.Set = append(w.Set, index.KeyValue{Key: key, Value: value}, index.KeyValue{Key: []byte(want[i])})
	}
	s.write(t, "a", w)
	s.wantAll(t, "a", "T", want...)
	err := s.Update(t.Context(), "a", keys, func(values [][]byte, w *index.Writes) error {
		for i, v := range values {
			if !bytes.Equal(v, value) {
				return fmt.Errorf("key %q: got %q", keys[i], v)
			}
		}
		w.Delete = append(w.Delete, keys...)
		w.Delete = append(w.Delete, byteSlices(want)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.wantAll(t, "a", "T")
	s.wantValue(t, "a", "r000000", "")
}

func testChangeFails(t *testing.T, open opener) {
	s := open(t)
	s.put(t, "a", "r1=one", "T1")
	cause := errors.New("no")
	err := s.Update(t.Context(), "a", byteSlices([]string{"r1"}), func(_ [][]byte, w *index.Writes) error {
		w.Set = keyValues([]string{"r1=two", "r2=two", "T2"})
		w.Delete = byteSlices([]string{"T1"})
		return cause
	})
	if !errors.Is(err, cause) {
		t.Errorf("update: got %v, want the error of change", err)
	}
	s.wantValue(t, "a", "r1", "one")
	s.wantValue(t, "a", "r2", "")
	s.wantAll(t, "a", "T", "T1")
	s.put(t, "a", "r1=three")
	s.wantValue(t, "a", "r1", "three")
}

// testSlices overwrites what a store returned, and what it was given once the call
// is over.
func testSlices(t *testing.T, open opener) {
	s := open(t)
	s.put(t, "a", "r1=one", "T1")
	scribble := func(slices ...[]byte) {
		for _, b := range slices {
			for i := range b {
				b[i] = '#'
			}
		}
	}
	var kept [][]byte
	key := []byte("r1")
	err := s.Update(t.Context(), "a", [][]byte{key}, func(values [][]byte, _ *index.Writes) error {
		kept = values
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, "a", "r1=two")
	if string(kept[0]) != "one" {
		t.Errorf("a value changed after its update: %q", kept[0])
	}
	value, err := s.Get(t.Context(), "a", key)
	if err != nil {
		t.Fatal(err)
	}
	from := []byte("T")
	keys, err := s.Scan(t.Context(), "a", index.Range{From: from, To: []byte("U"), Limit: 9})
	if err != nil {
		t.Fatal(err)
	}
	scribble(kept[0], value, keys[0], key, from)
	s.wantValue(t, "a", "r1", "two")
	s.wantAll(t, "a", "T", "T1")
}
