package pebblestore

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/invoscope/invoscope/correlate/index/indextest"
)

// invocationsVariable has how many invocations BenchmarkGet reads from; 10000000
// take some minutes.
const invocationsVariable = "INVOSCOPE_BENCH_INVOCATIONS"

func invocations(b *testing.B) int {
	text := os.Getenv(invocationsVariable)
	if text == "" {
		return 100_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatalf("%s: %v", invocationsVariable, err)
	}
	return n
}

// BenchmarkUpdate writes each invocation twice, in updates of 100. An operation is
// one invocation.
func BenchmarkUpdate(b *testing.B) {
	o := testOptions(b.TempDir())
	o.CacheBytes = 0
	s, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	b.ReportAllocs()
	b.ResetTimer()
	if err := (indextest.Load{Store: s}).Run(b.Context(), 0, b.N); err != nil {
		b.Fatal(err)
	}
	if err := s.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkGet reads from a store of many invocations, each written once. It prints
// what that took.
func BenchmarkGet(b *testing.B) {
	n := invocations(b)
	o := testOptions(b.TempDir())
	o.CacheBytes = 0
	s, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	start := time.Now()
	if err := (indextest.Load{Store: s}).Fill(b.Context(), n); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	size, err := s.Bytes(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d invocations in %v, %.1f bytes each\n%v", n, took, float64(size)/float64(n), s.db.Metrics())
	indextest.ReportGets(b, s, n)
}

// BenchmarkSettings compares settings by the room they take and the time for
// writing and reading.
func BenchmarkSettings(b *testing.B) {
	n := invocations(b)
	for name, c := range map[string]*sstable.CompressionProfile{
		"snappy": sstable.SnappyCompression, "minlz": sstable.MinLZCompression,
		"zstd": sstable.ZstdCompression, "balanced": sstable.BalancedCompression, "good": sstable.GoodCompression,
	} {
		for _, block := range []int{4 << 10, 8 << 10, 16 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, block>>10), func(b *testing.B) {
				o := testOptions(b.TempDir())
				o.CacheBytes = 0
				settings := func(p *pebble.Options) {
					for i := range p.Levels {
						p.Levels[i].BlockSize = block
						p.Levels[i].Compression = func() *sstable.CompressionProfile { return c }
					}
				}
				s, err := open(o, vfs.Default, newGuard(o.Log), settings)
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				b.Run("write", func(b *testing.B) {
					for b.Loop() {
						if err := (indextest.Load{Store: s}).Run(b.Context(), 0, n); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(s.db.Metrics().Table.Local.LiveSize)/float64(n), "B/invocation")
					b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/invocation")
					if err := s.Compact(b.Context()); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(s.db.Metrics().Table.Local.LiveSize)/float64(n), "compacted-B/invocation")
				})
				indextest.ReportGets(b, s, n)
			})
		}
	}
}
