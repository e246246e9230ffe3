// Package ingest turns every form in which logs and traces arrive into the one
// that is stored: logs into Loki push streams, traces into OTLP requests. It
// tags them with the tenant, relabels streams, adds to each log entry what its line
// says about Restate invocations, and hands the encoded bytes to a durable
// [Appender]. A request is acknowledged after that and never before.
//
// Requests aren't decoded: a walk over their bytes checks and copies them, as
// described in docs/adr/0018-ingest-on-the-wire.md. wire.go reads and writes
// fields, schema.go says what messages must look like; a logBatch and a spanBatch
// are one request of logs and of traces.
//
// A log line's bytes are never changed. What a sender claims about the tenant is
// replaced. Who may send is decided before: the tenant is an argument here.
//
// The package may import correlate, relay/fault and relay/queue, and nothing
// else of ours.
package ingest
