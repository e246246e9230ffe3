package limits

import (
	"fmt"
	"sync/atomic"
	"testing"
)

func manyTenants(n int) Set {
	s := Set{Tenants: make(map[string]Limits, n)}
	for i := range n {
		s.Tenants[fmt.Sprint("tenant-", i)] = Limits{
			IngestBytesPerSecond: 1 << 40, IngestBurstBytes: 1 << 40, SpansPerSecond: 1 << 40, QueriesPerSecond: 1 << 40, MaxConcurrentQueries: 1 << 40,
		}
	}
	return s
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("tenant-", i)
	}
	return all
}

func BenchmarkIngest(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint("tenants=", n), func(b *testing.B) {
			l, _ := newLimiter(b, manyTenants(n))
			all := names(n)
			var next atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := int(next.Add(1)) * 7919; pb.Next(); i++ {
					if err := l.Ingest(all[i%n], 100, 1); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkIngestUnlimited(b *testing.B) {
	l, _ := newLimiter(b, Set{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Ingest("acme", 100, 1); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkIngestRefused(b *testing.B) {
	l, _ := newLimiter(b, Set{Defaults: Limits{SpansPerSecond: 1}})
	_ = l.Ingest("acme", 1, 1_000_000_000)
	b.ReportAllocs()
	for b.Loop() {
		if l.Ingest("acme", 1, 1) == nil {
			b.Fatal("taken")
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	l, _ := newLimiter(b, manyTenants(10_000))
	for name, tenants := range map[string][]string{"one": {"tenant-1"}, "64": names(64)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					end, err := l.Query(tenants...)
					if err != nil {
						b.Error(err)
						return
					}
					end()
				}
			})
		})
	}
}

// BenchmarkSwap swaps the limits of ten thousand tenants, all of whom were active.
func BenchmarkSwap(b *testing.B) {
	sets := [2]Set{manyTenants(10_000), manyTenants(10_000)}
	l, _ := newLimiter(b, sets[0])
	for _, name := range names(10_000) {
		_ = l.Ingest(name, 1, 1)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Swap(sets[i%2])
	}
}

// BenchmarkSweep looks for idle ones among ten thousand tenants.
func BenchmarkSweep(b *testing.B) {
	l, _ := newLimiter(b, manyTenants(10_000))
	for _, name := range names(10_000) {
		_, _ = l.Query(name)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.swept.Store(0)
		l.sweep(l.now())
	}
}
