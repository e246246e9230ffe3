package limits

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func (l *Limiter) accounts() (n int) {
	for i := range l.shards {
		n += len(l.shards[i].accounts)
	}
	return n
}

func TestIdleTenantsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLimiter(t, Set{Defaults: Limits{IngestBytesPerSecond: 1, IngestBurstBytes: 3600, MaxTails: 1}})
		for i := range 1000 {
			if err := l.Ingest(strings.Repeat("t", 1+i%50)+string(rune('a'+i/50)), 1, 0); err != nil {
				t.Fatal(err)
			}
		}
		end, err := l.Tail("tailing")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Ingest("owing", 3600, 0); err != nil {
			t.Fatal(err)
		}
		if n := l.accounts(); n != 1002 {
			t.Fatalf("%d accounts", n)
		}
		sleep(sweepEvery)
		_ = l.Ingest("owing", 1, 0)
		if n := l.accounts(); n != 2 {
			t.Errorf("%d accounts after a minute, want those who owe or tail", n)
		}
		refused(t, l.Ingest("owing", 3600, 0))
		refused(t, second(l.Tail("tailing")))
		end()
		sleep(time.Hour)
		if err := l.Ingest("someone", 1, 0); err != nil {
			t.Fatal(err)
		}
		if n := l.accounts(); n != 1 {
			t.Errorf("%d accounts in the end", n)
		}
	})
}

func TestNothingIsKeptOfTheUnlimited(t *testing.T) {
	l, _ := newLimiter(t, Set{Defaults: Limits{MaxRequestBytes: 5, MaxQueryLimit: 1}})
	if err := l.Ingest("acme", 1<<40, 1<<40); err != nil {
		t.Fatal(err)
	}
	end, err := l.Query("acme")
	if err != nil || l.accounts() != 0 {
		t.Error(err, l.accounts())
	}
	end()
	if l.MaxRequestBytes("acme") != 5 {
		t.Error("the request's size is lost")
	}
}

// Beside requests, sets are swapped and tenants forgotten: nobody gets more than the
// limit all the same.
func TestConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := Set{Defaults: Limits{IngestBytesPerSecond: 1000, MaxConcurrentQueries: 3}}
		l, _ := newLimiter(t, set)
		var mu sync.Mutex
		taken, running := 0, 0
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for range 200 {
					if l.Ingest("acme", 7, 0) == nil {
						mu.Lock()
						taken += 7
						mu.Unlock()
					}
					if end, err := l.Query("acme"); err == nil {
						mu.Lock()
						if running++; running > 3 {
							t.Error("more queries than there may be")
						}
						mu.Unlock()
						sleep(time.Millisecond)
						mu.Lock()
						running--
						mu.Unlock()
						end()
					}
					if i == 0 {
						l.Swap(set)
						l.swept.Store(0) // every request sweeps
					}
					sleep(time.Millisecond)
				}
			})
		}
		begin := time.Now()
		wg.Wait()
		if most := 1000 + int(time.Since(begin).Milliseconds()); taken > most || taken < most-100 {
			t.Errorf("%d bytes in %v, want some %d", taken, time.Since(begin), most)
		}
	})
}
