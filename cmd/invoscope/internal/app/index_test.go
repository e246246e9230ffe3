package app

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/correlate/index"
)

// indexed is an app that has no more than an index.
func indexed(t *testing.T, cfg config.Config) *App {
	t.Helper()
	a := &App{cfg: cfg, log: slog.New(slog.DiscardHandler), now: time.Now, registry: prometheus.NewRegistry()}
	if err := a.openIndex(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.indexStore.Close() })
	return a
}

func learnSpans(t *testing.T, a *App) error {
	t.Helper()
	var batch index.Batch
	if err := batch.Spans(spans(t)); err != nil {
		t.Fatal(err)
	}
	return a.index.Apply(context.Background(), "acme", &batch)
}

func TestDamagedIndexIsPutAside(t *testing.T) {
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	a := indexed(t, cfg)
	if err := learnSpans(t, a); err != nil {
		t.Fatal(err)
	}
	if got := a.traceOf("acme", recordedID).ID; got != "01a864366d0e8c9d5cdc6539e9efdceb" {
		t.Errorf("trace %q", got)
	}
	if err := a.indexStore.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is an older one aside
		damage(t, filepath.Join(cfg.DataDir, "index"))
		a = indexed(t, cfg)
		if got := a.traceOf("acme", recordedID).ID; got != "" {
			t.Errorf("trace %q of a damaged index", got)
		}
		if err := learnSpans(t, a); err != nil {
			t.Errorf("the new index takes nothing: %v", err)
		}
		if _, err := os.Stat(filepath.Join(cfg.DataDir, "index.corrupt")); err != nil {
			t.Error(err)
		}
		if err := a.indexStore.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func damage(t *testing.T, dir string) {
	t.Helper()
	manifests, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("%v, %v", manifests, err)
	}
	for _, name := range manifests {
		if err := os.WriteFile(name, []byte("not a manifest"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIndexMayBeAway opens an index in a Redis that isn't there.
func TestIndexMayBeAway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.Index.Redis = config.Secret("redis://" + ln.Addr().String())
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	a := indexed(t, cfg)
	if err := learnSpans(t, a); err == nil {
		t.Error("an index that is away learns")
	}
	if got := a.traceOf("acme", recordedID).ID; got != "" {
		t.Errorf("trace %q", got)
	}
}
