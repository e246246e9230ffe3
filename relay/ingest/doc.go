// Package ingest turns every form in which logs and traces arrive into the one
// that is stored: logs into Loki push streams, traces into OTLP requests. It
// tags them with the tenant, adds to each log entry what its line says about
// Restate invocations, and hands the encoded bytes to a durable [Appender]. A
// request is acknowledged after that and never before.
//
// A log line's bytes are never changed. What a sender claims about the tenant is
// replaced. Who may send is decided before: the tenant is an argument here.
//
// The package may import correlate, relay/fault and relay/queue, and nothing
// else of ours.
package ingest
