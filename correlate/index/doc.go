// Package index keeps what is known about each invocation of each tenant: its
// traces and their times, target, attempts, outcome, last error, caller and
// callees.
//
// What is known is a [Record]. It is learnt from spans and from log lines, in
// whichever order they come, some of them twice and some never. So a Record is
// made to be merged: [Record.Merge] is commutative, associative and idempotent,
// and a Record of a part of what happened says nothing false about the rest.
//
// [Index] keeps records in a [Store]: Pebble for one daemon, Redis or Valkey for
// replicas. Every key begins with the tenant, since two clusters produce equal
// invocation ids and even equal trace ids.
//
// The package imports nothing of ours but correlate and internal/wire.
package index
