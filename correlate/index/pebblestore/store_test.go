package pebblestore

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
)

// childVariable is set in a test's child process.
const childVariable = "INVOSCOPE_PEBBLESTORE_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// inChild reports whether this is the child process of a test, and otherwise runs
// the test in one: a store that failed leaves goroutines behind, and mustn't end the
// process.
func inChild(t *testing.T) bool {
	if os.Getenv(childVariable) != "" {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("in its own process: %v\n%s", err, out)
	}
	return false
}

func testOptions(dir string) Options {
	return Options{Dir: dir, CacheBytes: 1 << 20, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
}

func TestStore(t *testing.T) {
	indextest.Run(t, func(t *testing.T) func() (index.Store, error) {
		dir := t.TempDir()
		return func() (index.Store, error) { return Open(testOptions(dir)) }
	})
}
