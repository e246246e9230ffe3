package limits

import (
	"cmp"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// account is what a tenant has used lately.
type account struct {
	mu     sync.Mutex
	gone   bool // it isn't the tenant's any more
	limits Limits

	bytes, spans, queries bucket
	running, tailing      int64
}

// counts reports whether there is anything to count.
func (l Limits) counts() bool {
	return l.IngestBytesPerSecond > 0 || l.SpansPerSecond > 0 || l.QueriesPerSecond > 0 || l.MaxConcurrentQueries > 0 || l.MaxTails > 0
}

// adopt brings an account up to the limits in force. A bucket whose numbers are as
// before keeps what is in it.
func (a *account) adopt(now time.Time, l Limits) {
	if a.limits == l {
		return
	}
	a.limits = l
	a.bytes.set(now, bucketLimit{l.IngestBytesPerSecond, cmp.Or(l.IngestBurstBytes, l.IngestBytesPerSecond)})
	a.spans.set(now, bucketLimit{l.SpansPerSecond, l.SpansPerSecond})
	a.queries.set(now, bucketLimit{l.QueriesPerSecond, l.QueriesPerSecond})
}

// forget gives an account up if a new one would be no different.
func (a *account) forget(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = a.running == 0 && a.tailing == 0 && a.bytes.full(now) && a.spans.full(now) && a.queries.full(now)
	return a.gone
}

// bucketLimit is how much a bucket holds and how fast it fills. A zero rate is no limit.
type bucketLimit struct{ perSecond, burst int64 }

// bucket is a token bucket that may be overdrawn once.
type bucket struct {
	limit  bucketLimit
	tokens *rate.Limiter // nil without a limit
}

// set changes a bucket's numbers. One that had no limit begins full.
func (b *bucket) set(now time.Time, l bucketLimit) {
	switch {
	case l == b.limit:
		return
	case l.perSecond == 0:
		b.tokens = nil
	case b.tokens == nil:
		b.tokens = rate.NewLimiter(rate.Limit(l.perSecond), int(l.burst))
	default:
		b.tokens.SetLimitAt(now, rate.Limit(l.perSecond))
		b.tokens.SetBurstAt(now, int(l.burst))
	}
	b.limit = l
}

// wait is how long it takes until the bucket has room for n, or is full if it is
// smaller than that; zero if it has.
func (b *bucket) wait(now time.Time, n int64) time.Duration {
	if b.tokens == nil || n == 0 {
		return 0
	}
	missing := float64(min(n, b.limit.burst)) - b.tokens.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	seconds := missing / float64(b.limit.perSecond)
	return time.Duration(math.Ceil(min(seconds*float64(time.Second), float64(math.MaxInt64/2))))
}

// take draws n, of which wait must have said that it may.
func (b *bucket) take(now time.Time, n int64) {
	if b.tokens == nil || n == 0 {
		return
	}
	if n <= b.limit.burst {
		b.tokens.ReserveN(now, int(n))
		return
	}
	// What is in it is settled first, so that it isn't more for being larger for a moment.
	b.tokens.SetBurstAt(now, int(b.limit.burst))
	b.tokens.SetBurstAt(now, int(n))
	b.tokens.ReserveN(now, int(n))
	b.tokens.SetBurstAt(now, int(b.limit.burst))
}

func (b *bucket) full(now time.Time) bool {
	return b.tokens == nil || b.tokens.TokensAt(now) >= float64(b.limit.burst)
}
