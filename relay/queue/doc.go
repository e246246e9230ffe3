// Package queue is the durable queue between ingest and an engine: one for logs
// and one for traces.
//
// [Queue.Append] returns once the request is on disk, and [Queue.Run] delivers
// what was appended: in order within a tenant, tenants independent of each
// other, at least once. What isn't delivered when the process ends is delivered
// after the next start.
//
// The log is Prometheus's tsdb/wlog. A record is one encoded request of one
// tenant, byte for byte what the engine will receive. Requests that wait are
// also held in memory, so [Options.MaxBytes] bounds both; a queue that is full
// refuses with [ErrFull] and never drops.
//
// The package imports nothing of ours: what delivers is a function.
package queue
