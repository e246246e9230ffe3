// Package harness runs the built Invoscope, and the real clients against it, for
// tests.
//
// It builds nothing: binaries come from the repository's bin folder, and a test
// that misses one fails and says which make target fills it. Every process gets
// a process group of its own, has its output kept and shown when the test fails,
// and is gone when the test ends.
//
// Waiting is always a [Poll] with a deadline, never a fixed pause.
//
// The package sees Invoscope as a user does, through flags, files and ports. It
// must not import another package of this module.
package harness
