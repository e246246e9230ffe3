// Package queue is the durable queue between ingest and an engine: one for logs
// and one for traces.
//
// [Queue.Append] returns once the request is on disk, and [Queue.Run] delivers
// what was appended: in order within a tenant, tenants independent of each
// other, at least once. What isn't done with when the process ends is delivered
// after the next start. What an engine refuses for good becomes a dead letter of
// its tenant ([DeadLetters]).
//
// The log is Prometheus's tsdb/wlog. A record is one encoded request of one
// tenant, as the engine will receive it, alone or joined with others. What waits
// is read back from the log, but for the newest. A queue that has reached one of
// its bounds refuses with [ErrFull] and never drops.
//
// The package imports nothing of ours: what delivers is a function, and what knows
// the requests' form a [Codec].
package queue
