package limits

import "time"

// Limits are what one tenant may use. A zero is no limit.
type Limits struct {
	IngestBytesPerSecond int64 // of requests' bodies, decompressed; logs and traces together
	IngestBurstBytes     int64
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

// Exceeded says which limit a tenant has reached.
type Exceeded struct {
	Limit string // for people, such as "10 queries per second"
	// RetryAfter is when it makes sense to try again; zero means never.
	RetryAfter time.Duration
}

func (e *Exceeded) Error() string { return "the tenant's limit is reached: " + e.Limit }
