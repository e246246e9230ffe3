package pebblestore

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testOptions(dir string) Options {
	return Options{Dir: dir, CacheBytes: 1 << 20, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
}

func TestStore(t *testing.T) {
	indextest.Run(t, func(t *testing.T) func() (index.Store, error) {
		dir := t.TempDir()
		return func() (index.Store, error) { return Open(testOptions(dir)) }
	})
}
