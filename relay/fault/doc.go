// Package fault maps what went wrong to what a client is told: one table from a
// [Kind] to an HTTP status and a gRPC code, and one writer per [Shape] of error
// body that the clients of Loki, Tempo and OTLP understand.
//
// A client sees an [Error]'s Message only; its Cause is for our own log. The
// package imports nothing of ours.
package fault
