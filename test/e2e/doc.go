// Package e2e holds the tests that run a real Restate against a real Invoscope.
//
// They need Go, npm and the binaries in bin, so they carry the build tag
// "integration":
//
//	make build engines
//	go test -tags integration ./test/e2e/
package e2e
