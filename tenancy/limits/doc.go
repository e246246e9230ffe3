// Package limits holds what a tenant may use: of ingest, of queries, of time. A [Set]
// says so, and a [Limiter] keeps account of it.
//
// Invariants:
//
//   - What is refused costs nothing: neither bucket is drawn from.
//   - No request waits for another tenant's: what is counted is locked a tenant at a time.
//   - A tenant whose numbers stay as they are doesn't notice that a new set is in force.
//   - Memory is that of the tenants that were active lately, and forgetting one gives
//     nothing away: its buckets are full by then.
//
// It knows nothing of HTTP, gRPC or the engines; callers map an [Exceeded] to a
// status. It imports no other package of this module.
package limits
