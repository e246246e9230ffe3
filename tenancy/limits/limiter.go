package limits

import (
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say how a [Limiter] works.
type Options struct {
	Registerer prometheus.Registerer
	Now        func() time.Time // nil means time.Now
}

// Limiter keeps account of what tenants use. It is safe for concurrent use.
type Limiter struct {
	now     func() time.Time
	metrics *metrics
	set     atomic.Pointer[Set]
	shards  [shards]shard
	swept   atomic.Int64
	seed    maphash.Seed
}

// shards is how many parts the tenants are in, each of which has its own lock. It is
// held for as long as it takes to find one of them.
const shards = 64

// shard holds accounts by the tenant's name, or the names of several.
type shard struct {
	mu       sync.RWMutex
	accounts map[string]*account
}

// sweepEvery is how often the tenants that are idle are forgotten, which a request
// does on its way: it takes a millisecond for ten thousand of them.
const sweepEvery = time.Minute

// separator stands between the names of several tenants. It is in none.
const separator = "|"

// retryInFlight is when to try again what waits for others to end. Nobody knows when
// they will.
const retryInFlight = time.Second

// New returns a limiter that has a set in force.
func New(s Set, o Options) *Limiter {
	l := &Limiter{now: o.Now, metrics: newMetrics(o.Registerer), seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].accounts = map[string]*account{}
	}
	if l.now == nil {
		l.now = time.Now
	}
	l.set.Store(&s)
	l.swept.Store(l.now().UnixNano())
	return l
}

// Swap puts a set in force, which must not change any more. What tenants have used
// stays counted: a number that is another one holds from the tenant's next request.
func (l *Limiter) Swap(s Set) {
	old := l.set.Swap(&s)
	for tenant := range old.Tenants {
		if _, stays := s.Tenants[tenant]; !stays {
			l.metrics.forget(tenant)
		}
	}
}

// Of returns the limits of a tenant, or of a query of several; see [Set.OfAll].
func (l *Limiter) Of(tenants ...string) Limits { return l.set.Load().OfAll(tenants) }

// MaxRequestBytes returns how large a tenant's requests may be; zero is no limit.
func (l *Limiter) MaxRequestBytes(tenant string) int64 {
	return l.set.Load().Of(tenant).MaxRequestBytes
}

// Ingest counts a request of a tenant that is to be stored, of so many bytes and
// spans, unless a limit is reached: the error is an [*Exceeded] then. A request that
// is larger than a bucket goes through when that is full, and the next ones wait
// until it has paid for.
func (l *Limiter) Ingest(tenant string, bytes, spans int64) error {
	set := l.set.Load()
	a, now := l.account(tenant, set.Of(tenant))
	if a == nil {
		return nil
	}
	defer a.mu.Unlock()
	if wait := a.bytes.wait(now, bytes); wait > 0 {
		return l.refuse(set, tenant, IngestBytes, count(a.bytes.limit.perSecond)+" bytes per second", wait)
	}
	if wait := a.spans.wait(now, spans); wait > 0 {
		return l.refuse(set, tenant, Spans, count(a.spans.limit.perSecond)+" spans per second", wait)
	}
	a.bytes.take(now, bytes)
	a.spans.take(now, spans)
	return nil
}

// Query counts a query of a tenant, or of several together, unless a limit is
// reached: the error is an [*Exceeded] then. Several tenants have an account of their
// own, with the strictest limits of them all. The query runs until end is called.
func (l *Limiter) Query(tenants ...string) (end func(), err error) {
	return l.begin(tenants, false)
}

// Tail is [Limiter.Query] for what goes on until its client has enough.
func (l *Limiter) Tail(tenants ...string) (end func(), err error) { return l.begin(tenants, true) }

func (l *Limiter) begin(tenants []string, tail bool) (end func(), err error) {
	set := l.set.Load()
	name := strings.Join(tenants, separator)
	a, now := l.account(name, set.OfAll(tenants))
	if a == nil {
		return func() {}, nil
	}
	defer a.mu.Unlock()
	kind, what, running, most := ConcurrentQueries, " concurrent queries", &a.running, a.limits.MaxConcurrentQueries
	if tail {
		kind, what, running, most = Tails, " tails at a time", &a.tailing, a.limits.MaxTails
	}
	if most > 0 && *running >= most {
		return nil, l.refuse(set, name, kind, count(most)+what, retryInFlight)
	}
	if wait := a.queries.wait(now, 1); wait > 0 {
		return nil, l.refuse(set, name, Queries, count(a.queries.limit.perSecond)+" queries per second", wait)
	}
	a.queries.take(now, 1)
	*running++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		*running--
	}), nil
}

// Refused counts a request that was refused for a limit that the caller has looked
// at itself.
func (l *Limiter) Refused(kind Kind, tenants ...string) {
	l.metrics.count(l.set.Load(), strings.Join(tenants, separator), kind)
}

func (l *Limiter) refuse(set *Set, name string, kind Kind, limit string, wait time.Duration) error {
	l.metrics.count(set, name, kind)
	return &Exceeded{Limit: limit, RetryAfter: wait}
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// account returns a tenant's account, locked, brought up to its limits, and the time.
// It is nil for a tenant that nothing is counted of.
func (l *Limiter) account(name string, limits Limits) (*account, time.Time) {
	l.sweep(l.now())
	part := &l.shards[maphash.String(l.seed, name)%shards]
	for {
		a := part.find(name)
		if a == nil {
			if !limits.counts() {
				return nil, time.Time{}
			}
			a = part.add(name)
		}
		a.mu.Lock()
		if !a.gone {
			now := l.now() // not before that of whoever had the lock
			a.adopt(now, limits)
			return a, now
		}
		a.mu.Unlock() // it was just forgotten
	}
}

func (s *shard) find(name string) *account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.accounts[name]
}

func (s *shard) add(name string) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.accounts[name]
	if !ok {
		a = &account{}
		s.accounts[strings.Clone(name)] = a
	}
	return a
}

// sweep forgets, once in a while, the tenants that are idle.
func (l *Limiter) sweep(now time.Time) {
	last := l.swept.Load()
	if now.UnixNano()-last < int64(sweepEvery) || !l.swept.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	for i := range l.shards {
		l.shards[i].sweep(now)
	}
}

func (s *shard) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, a := range s.accounts {
		if a.forget(now) {
			delete(s.accounts, name)
		}
	}
}
