package limits

import "time"

// Limits are what one tenant may use. A zero is no limit.
type Limits struct {
	IngestBytesPerSecond int64 // of requests' bodies, decompressed; logs and traces together
	IngestBurstBytes     int64 // zero: a second's worth
	SpansPerSecond       int64
	MaxRequestBytes      int64 // of one body, compressed and decompressed

	QueriesPerSecond     int64
	MaxConcurrentQueries int64
	MaxTails             int64 // live tails, streams and followers at a time

	MaxQueryRange time.Duration // from a query's start to its end
	MaxQueryLimit int64         // of lines or traces that a query asks for

	LogRetention   time.Duration // zero: what the engine has for all
	TraceRetention time.Duration
}

// Set is everybody's limits.
type Set struct {
	Defaults Limits
	Tenants  map[string]Limits // whole limits, not differences
}

// Of returns a tenant's limits.
func (s Set) Of(tenant string) Limits {
	if own, ok := s.Tenants[tenant]; ok {
		return own
	}
	return s.Defaults
}

// OfAll returns the limits of a query of several tenants: of each number the
// smallest that one of them has, as Loki does it. Of one tenant it is [Set.Of].
func (s Set) OfAll(tenants []string) Limits {
	if len(tenants) == 0 {
		return s.Defaults
	}
	all := s.Of(tenants[0])
	for _, tenant := range tenants[1:] {
		all = all.strictest(s.Of(tenant))
	}
	return all
}

// strictest returns the smaller of each two numbers, for queries alone: nobody
// writes for several tenants, and each keeps its own data.
func (l Limits) strictest(o Limits) Limits {
	return Limits{
		QueriesPerSecond:     smaller(l.QueriesPerSecond, o.QueriesPerSecond),
		MaxConcurrentQueries: smaller(l.MaxConcurrentQueries, o.MaxConcurrentQueries),
		MaxTails:             smaller(l.MaxTails, o.MaxTails),
		MaxQueryRange:        smaller(l.MaxQueryRange, o.MaxQueryRange),
		MaxQueryLimit:        smaller(l.MaxQueryLimit, o.MaxQueryLimit),
	}
}

// smaller returns the smaller limit, of which zero is none.
func smaller[T int64 | time.Duration](a, b T) T {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// Kind is which limit it is, as the metrics name it.
type Kind string

// The limits that requests are refused for.
const (
	IngestBytes       Kind = "ingest_bytes"
	Spans             Kind = "spans"
	Queries           Kind = "queries"
	ConcurrentQueries Kind = "concurrent_queries"
	Tails             Kind = "tails"
	QueryRange        Kind = "query_range"
	QueryLimit        Kind = "query_limit"
)

var kinds = []Kind{IngestBytes, Spans, Queries, ConcurrentQueries, Tails, QueryRange, QueryLimit}

// Exceeded says which limit a tenant has reached.
type Exceeded struct {
	Limit string // for people, such as "10 queries per second"
	// RetryAfter is when it makes sense to try again; zero means never.
	RetryAfter time.Duration
}

func (e *Exceeded) Error() string { return "the tenant's limit is reached: " + e.Limit }
