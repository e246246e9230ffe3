// Package redisstore keeps the invocation index in Redis 6.2 or newer, or in
// Valkey: the [index.Store] that the replicas of a daemon share.
//
// All keys of a tenant begin with invoscope:{TENANT}: and so are on one node of a
// cluster. A key of a lower-case family is a string; an upper-case family is a sorted
// set whose members all have score 0, which Redis then orders by their bytes. The
// names of the tenants are the set invoscope:tenants.
//
// What Redis promises is what the index gets: an update is there for all replicas
// once it was acknowledged, and survives a loss of power or a failover as far as
// appendfsync and replication go. A server that evicts keys (maxmemory-policy)
// takes records away at random; it should have noeviction, which refuses writes
// instead, and be the index's own, since its memory is what is measured.
//
// The package imports nothing of ours but correlate/index.
package redisstore
