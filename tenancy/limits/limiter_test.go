package limits

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newLimiter(t testing.TB, s Set) (*Limiter, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	return New(s, Options{Registerer: reg}), reg
}

// refusal returns what a tenant was told, and fails if it was told nothing.
func refusal(t *testing.T, err error) *Exceeded {
	t.Helper()
	var e *Exceeded
	if !errors.As(err, &e) {
		t.Fatalf("%v is not a refusal", err)
	}
	return e
}

// refused fails unless a tenant was told something.
func refused(t *testing.T, err error) {
	t.Helper()
	if refusal(t, err) == nil {
		t.Fatal("refused without a word")
	}
}

// sleep lets the bubble's time pass; in it that takes none.
func sleep(d time.Duration) { <-time.After(d) }

func TestIngestIsRefusedUntilThereIsRoom(t *testing.T) {
	for name, c := range map[string]struct {
		limits       Limits
		burst        int64 // the bytes that go through at once, with ten spans
		bytes, spans int64 // of a request when the buckets are empty
		limit        string
		after        time.Duration
	}{
		"bytes":  {Limits{IngestBytesPerSecond: 100, IngestBurstBytes: 400}, 400, 50, 0, "100 bytes per second", 500 * time.Millisecond},
		"spans":  {Limits{SpansPerSecond: 10}, 400, 1, 5, "10 spans per second", 500 * time.Millisecond},
		"second": {Limits{IngestBytesPerSecond: 100}, 100, 100, 0, "100 bytes per second", time.Second},
		"large":  {Limits{SpansPerSecond: 10}, 400, 1, 1000, "10 spans per second", time.Second}, // until it is full
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _ := newLimiter(t, Set{Defaults: c.limits})
				if err := l.Ingest("acme", c.burst, 10); err != nil {
					t.Fatal("the burst was refused:", err)
				}
				e := refusal(t, l.Ingest("acme", c.bytes, c.spans))
				if e.Limit != c.limit || e.RetryAfter != c.after || e.Error() != "the tenant's limit is reached: "+c.limit {
					t.Fatalf("%+v", e)
				}
				if err := l.Ingest("other", c.bytes, c.spans); err != nil {
					t.Error("another tenant was refused:", err)
				}
				sleep(e.RetryAfter - time.Nanosecond)
				refused(t, l.Ingest("acme", c.bytes, c.spans))
				sleep(time.Nanosecond)
				if err := l.Ingest("acme", c.bytes, c.spans); err != nil {
					t.Error("it was told to come now:", err)
				}
			})
		})
	}
}

// A refusal must cost nothing: what is refused for its spans doesn't take bytes.
func TestRefusedCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLimiter(t, Set{Defaults: Limits{IngestBytesPerSecond: 100, SpansPerSecond: 1}})
		if err := l.Ingest("acme", 10, 1); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			refused(t, l.Ingest("acme", 50, 1))
		}
		if err := l.Ingest("acme", 90, 0); err != nil {
			t.Error("refused requests took bytes:", err)
		}
	})
}

// What is larger than a bucket gets through, and is paid for.
func TestLargeRequestsArePaidFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLimiter(t, Set{Defaults: Limits{SpansPerSecond: 10}})
		begin := time.Now()
		const requests, each = 20, 95
		for range requests {
			for {
				err := l.Ingest("acme", 1, each)
				if err == nil {
					break
				}
				sleep(refusal(t, err).RetryAfter)
			}
		}
		// The last one's debt isn't waited for.
		if got, want := time.Since(begin), (requests-1)*each*time.Second/10; got < want-time.Second || got > want+time.Second {
			t.Errorf("%d spans at 10 a second took %v, want %v", requests*each, got, want)
		}
	})
}

func TestSwapKeepsWhatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := Limits{IngestBytesPerSecond: 100, SpansPerSecond: 10, MaxTails: 1}
		l, _ := newLimiter(t, Set{Defaults: before, Tenants: map[string]Limits{"other": {}}})
		if err := l.Ingest("acme", 100, 10); err != nil {
			t.Fatal(err)
		}
		end, err := l.Tail("acme")
		if err != nil {
			t.Fatal(err)
		}
		same := before
		same.QueriesPerSecond = 1
		l.Swap(Set{Defaults: same})
		if e := refusal(t, l.Ingest("acme", 1, 0)); e.RetryAfter != 10*time.Millisecond {
			t.Error("the bucket is another one:", e)
		}
		refused(t, second(l.Tail("acme")))
		faster := before
		faster.IngestBytesPerSecond = 1000
		l.Swap(Set{Defaults: faster})
		if e := refusal(t, l.Ingest("acme", 1, 0)); e.RetryAfter != time.Millisecond || e.Limit != "1000 bytes per second" {
			t.Error("the new rate isn't in force, or the bucket was filled for it:", e)
		}
		l.Swap(Set{})
		if err := l.Ingest("acme", 1<<40, 1<<40); err != nil {
			t.Error("a limit that was lifted holds:", err)
		}
		end()
		l.Swap(Set{Defaults: before})
		if err := l.Ingest("acme", 100, 10); err != nil {
			t.Error("a limit that is new began empty:", err)
		}
		end, err = l.Tail("acme")
		if err != nil {
			t.Error("a tail that ended while there was no limit still counts:", err)
		}
		end()
	})
}

func second[T any](_ T, err error) error { return err }

func TestQueriesAtATime(t *testing.T) {
	for name, begin := range map[string]func(*Limiter) (func(), error){
		"2 concurrent queries": func(l *Limiter) (func(), error) { return l.Query("acme") },
		"2 tails at a time":    func(l *Limiter) (func(), error) { return l.Tail("acme") },
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := newLimiter(t, Set{Defaults: Limits{MaxConcurrentQueries: 2, MaxTails: 2}})
			first, err := begin(l)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = begin(l); err != nil {
				t.Fatal(err)
			}
			if e := refusal(t, second(begin(l))); e.Limit != name || e.RetryAfter != time.Second {
				t.Errorf("%+v", e)
			}
			first()
			first() // once more is nothing
			if _, err := begin(l); err != nil {
				t.Error("there is room again:", err)
			}
			refused(t, second(begin(l)))
		})
	}
}

func TestSeveralTenantsHaveAnAccountOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, reg := newLimiter(t, Set{Tenants: map[string]Limits{
			"a": {QueriesPerSecond: 5, MaxQueryRange: time.Hour},
			"b": {QueriesPerSecond: 2, MaxQueryLimit: 100, MaxConcurrentQueries: 1},
			"c": {},
		}})
		for range 2 {
			end, err := l.Query("a", "b", "c")
			if err != nil {
				t.Fatal(err)
			}
			end()
		}
		if e := refusal(t, second(l.Query("a", "b", "c"))); e.Limit != "2 queries per second" || e.RetryAfter != 500*time.Millisecond {
			t.Errorf("%+v", e)
		}
		for _, tenant := range []string{"a", "b"} {
			end, err := l.Query(tenant)
			if err != nil {
				t.Fatal("it used up what is a tenant's own:", err)
			}
			end()
		}
		got := l.Of("a", "b", "c")
		if want := (Limits{QueriesPerSecond: 2, MaxQueryRange: time.Hour, MaxQueryLimit: 100, MaxConcurrentQueries: 1}); got != want {
			t.Errorf("%+v", got)
		}
		l.Refused(QueryRange, "a")
		l.Refused(QueryRange, "nobody")
		want := `
# HELP invoscope_limits_refused_total Requests refused for a tenant's limit. Tenants have names here if they have limits of their own.
# TYPE invoscope_limits_refused_total counter
invoscope_limits_refused_total{limit="queries",tenant="{several}"} 1
invoscope_limits_refused_total{limit="query_range",tenant="a"} 1
invoscope_limits_refused_total{limit="query_range",tenant="{other}"} 1
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		l.Swap(Set{Tenants: map[string]Limits{"b": {}}})
		if n, err := testutil.GatherAndCount(reg); err != nil || n != 2 {
			t.Errorf("%d series, %v: a tenant that is gone still has one", n, err)
		}
	})
}
