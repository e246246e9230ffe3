// Package limits holds what a tenant may use: of ingest, of queries, of time.
//
// It knows nothing of HTTP, gRPC or the engines; callers map an [Exceeded] to a
// status. It imports no other package of this module.
package limits
