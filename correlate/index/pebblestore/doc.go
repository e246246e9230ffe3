// Package pebblestore keeps the invocation index on disk, in Pebble: the
// [index.Store] of a single daemon.
//
// Nothing that happens to the store ends the process. Pebble answers a failed
// write of its log with a panic or an exit, so it never sees one: where the disk is
// full, the write waits until it isn't, and the store's methods return [ErrFull]
// meanwhile; after any other failure the store is out of use, its methods return
// the cause, and it can be opened again. What Pebble still calls fatal stops the
// goroutine that found it, and the store.
//
// The package imports nothing of ours but correlate/index.
package pebblestore
