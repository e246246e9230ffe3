// Package app wires the daemon together and runs it. It never touches signals or
// the process: a context ends it, so a test can run two in one process.
//
// Start: data directory, engines, who may do what, index, queues, listeners. Ingest
// answers from the first moment, whether an engine is up or not; ready means
// that queries do too. Stop is the same in reverse: listeners drain, queues save
// what waits, engines end last.
//
// What can change while the daemon runs is a snapshot: it is read whole, and put in
// force only if all of it is good (docs/adr/0028-reload.md). Nothing else changes.
package app
