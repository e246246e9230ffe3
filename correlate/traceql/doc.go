// Package traceql recognises and makes the TraceQL query that asks for one
// invocation. It doesn't parse TraceQL: what isn't exactly that query, in one of few
// spellings, isn't recognised.
//
// The spellings are those that Tempo 2.9 was seen to take and to mean the same
// by; see the tests in relay that ask a real one.
//
// The package does no input or output and imports nothing of ours but correlate.
package traceql
