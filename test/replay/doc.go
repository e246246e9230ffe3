// Package replay holds the tests that send the recordings of real Restate
// clusters through a built Invoscope with the real engines, and ask for them
// back with the real clients.
//
// They need the binaries in bin, so they carry the build tag "integration":
//
//	make build engines
//	go test -tags integration ./test/replay/
package replay
