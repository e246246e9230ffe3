package indextest

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/invoscope/invoscope/correlate/index"
)

// Load writes invocations in the way of the index, of the same sizes, for
// benchmarks: a record of about 130 bytes under 9, a span of its attempt, and its
// places by outcome, by target and under its caller.
type Load struct{ Store index.Store }

const (
	loadTenant = "tenant"
	loadBatch  = 100  // invocations that one update is about
	loadLag    = 1000 // how many invocations begin before one ends
)

// Run writes the invocations first to end-1: each of them when it begins and when it
// ends.
func (l Load) Run(ctx context.Context, first, end int) error {
	for n := first; n < end+loadLag; n += loadBatch {
		if n < end {
			if err := l.update(ctx, n, min(n+loadBatch, end), false); err != nil {
				return err
			}
		}
		if ended := n - loadLag; ended >= first {
			if err := l.update(ctx, ended, min(ended+loadBatch, end), true); err != nil {
				return err
			}
		}
	}
	return nil
}

// Fill writes invocations once, as they are when they have ended.
func (l Load) Fill(ctx context.Context, invocations int) error {
	for first := 0; first < invocations; first += 10 * loadBatch {
		err := l.Store.Update(ctx, loadTenant, nil, func(_ [][]byte, w *index.Writes) error {
			for n := first; n < min(first+10*loadBatch, invocations); n++ {
				loadWrites(w, n, nil, true)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Delete deletes the invocations first to end-1, which have ended.
func (l Load) Delete(ctx context.Context, first, end int) error {
	for ; first < end; first += 10 * loadBatch {
		err := l.Store.Update(ctx, loadTenant, nil, func(_ [][]byte, w *index.Writes) error {
			var there index.Writes
			for n := first; n < min(first+10*loadBatch, end); n++ {
				loadWrites(&there, n, nil, true)
			}
			for _, kv := range there.Set {
				w.Delete = append(w.Delete, kv.Key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l Load) update(ctx context.Context, first, end int, ended bool) error {
	var keys [][]byte
	for n := first; n < end; n++ {
		keys = append(keys, loadKey('r', n, ""))
	}
	return l.Store.Update(ctx, loadTenant, keys, func(values [][]byte, w *index.Writes) error {
		for i, v := range values {
			loadWrites(w, first+i, v, ended)
		}
		return nil
	})
}

// loadWrites writes invocation n, whose record was before.
func loadWrites(w *index.Writes, n int, before []byte, ended bool) {
	was, is := "\x02", "\x06" // running, succeeded
	if !ended {
		is = was
	}
	key := loadKey('r', n, "")
	if before == nil {
		w.Set = append(w.Set,
			index.KeyValue{Key: loadKey('s', n, ""), Value: key[1:]},
			index.KeyValue{Key: loadKey('E', n/4, string(key[1:]))})
	} else {
		w.Delete = append(w.Delete, loadPlace("O"+was, n), loadPlace("T\x0dGreeter/greet"+was, n))
	}
	w.Set = append(w.Set,
		index.KeyValue{Key: key, Value: loadRecord(n, ended)},
		index.KeyValue{Key: loadPlace("O"+is, n)}, index.KeyValue{Key: loadPlace("T\x0dGreeter/greet"+is, n)})
}

// loadKey is of an id that looks random, made from n.
func loadKey(family byte, n int, rest string) []byte {
	random := rand.New(rand.NewPCG(uint64(n), uint64(family)))
	return append(binary.BigEndian.AppendUint64([]byte{family}, random.Uint64()), rest...)
}

// loadPlace is where invocation n stands in an order by time.
func loadPlace(prefix string, n int) []byte {
	var millis [8]byte
	binary.BigEndian.PutUint64(millis[:], uint64(1.7e12)+uint64(n))
	b := append([]byte(prefix), millis[2:]...)
	return append(b, loadKey('r', n, "")[1:]...)
}

// loadRecord has ids and times that look random, and texts that repeat.
func loadRecord(n int, ended bool) []byte {
	random := rand.New(rand.NewPCG(uint64(n), 7))
	var b []byte
	for range 6 { // rest of its id, trace, attempt, ingress, cause
		b = binary.BigEndian.AppendUint64(b, random.Uint64())
	}
	for range 5 {
		b = binary.AppendVarint(b, random.Int64N(int64(time.Second)))
	}
	b = append(b, "\x0dGreeter/greet\x1edp_11nGQpCRmau6ypL82KH2TnP"...)
	if ended {
		b = binary.AppendVarint(append(b, 6), random.Int64N(int64(time.Minute)))
	}
	return b
}

// ReportGets measures reads of what is there and of what isn't, one after the other,
// in a store with n invocations.
func ReportGets(b *testing.B, s index.Store, n int) {
	for name, family := range map[string]byte{"found": 'r', "unknown": 'q'} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			random := rand.New(rand.NewPCG(1, 2))
			var took []time.Duration
			for b.Loop() {
				key := loadKey(family, random.IntN(n), "")
				key[0] = 'r'
				start := time.Now()
				value, err := s.Get(b.Context(), loadTenant, key)
				took = append(took, time.Since(start))
				if err != nil || (value != nil) != (family == 'r') {
					b.Fatalf("get: %q, %v", value, err)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
