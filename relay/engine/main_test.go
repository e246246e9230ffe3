package engine

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary play the parts of the other processes: an
// engine, a guard, and a daemon that runs an engine.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == GuardArg {
		os.Exit(Guard(os.Args[2:]))
	}
	if mode, ok := os.LookupEnv(fakeEngineEnv); ok {
		os.Exit(fakeEngine(mode))
	}
	if dir, ok := os.LookupEnv(fakeDaemonEnv); ok {
		os.Exit(fakeDaemon(dir))
	}
	goleak.VerifyTestMain(m)
}
