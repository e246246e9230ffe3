//go:build integration

package redisstore

import (
	"testing"

	"github.com/invoscope/invoscope/correlate/index/indextest"
)

// BenchmarkUpdate writes each invocation twice, in updates of 100, then reads. An
// operation is one invocation.
func BenchmarkUpdate(b *testing.B) {
	s := benchStore(b)
	b.ResetTimer()
	if err := (indextest.Load{Store: s}).Run(b.Context(), 0, b.N); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkGet reads from a store of 100,000 invocations.
func BenchmarkGet(b *testing.B) {
	const n = 100_000
	s := benchStore(b)
	before, err := s.Bytes(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if err := (indextest.Load{Store: s}).Run(b.Context(), 0, n); err != nil {
		b.Fatal(err)
	}
	after, err := s.Bytes(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d bytes of memory by invocation", (after-before)/n)
	indextest.ReportGets(b, s, n)
}

func benchStore(b *testing.B) *Store {
	s, err := open(b.Context(), "redis://"+start(b, "redis-server").address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}
