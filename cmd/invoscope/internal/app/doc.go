// Package app wires the daemon together and runs it. It never touches signals or
// the process: a context ends it, so a test can run two in one process.
//
// Start: data directory, key and token, queues, engines, listeners. Ingest
// answers from the first moment, whether an engine is up or not; ready means
// that queries do too. Stop is the same in reverse: listeners drain, queues save
// what waits, engines end last.
package app
