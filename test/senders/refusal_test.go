//go:build integration

package senders

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/invoscope/invoscope/test/harness"
)

// A span without an id makes Tempo refuse the whole request. We refuse that span
// only and say so; the Collector writes what we say and doesn't send it again.
func TestCollectorHearsOfRefusedSpans(t *testing.T) {
	r := startRelay(t)
	c := startCollector(t, r)
	for _, name := range exporters {
		trace := pcommon.TraceID{0: name[0], 15: 1}
		if err := c.sendTrace(t.Context(), name, trace, pcommon.SpanID{7: 1}, pcommon.SpanID{}, pcommon.SpanID{7: 2}); err != nil {
			t.Fatal(err)
		}
		r.tracesAreThere("collector-"+name, 1, 2, 0)
	}
	harness.Poll(t, visibleLimit, "the Collector writes what was refused", func() error {
		if got := strings.Count(c.Output(), `"dropped_spans": 1`); got != len(exporters) {
			return fmt.Errorf("it wrote so %d times, want %d", got, len(exporters))
		}
		return nil
	})
	counts, err := metrics(t, c.metrics)
	if err != nil {
		t.Fatal(err)
	}
	if n := counts["otelcol_exporter_send_failed_spans"]; n != 0 {
		t.Errorf("the Collector counts %v spans as failed", n)
	}
}

// fakeLoki is a Loki that is ready, and refuses pushes until it is told to take
// them. It keeps the lines.
type fakeLoki struct {
	*httptest.Server
	takes atomic.Bool

	mu    sync.Mutex
	lines map[string]int
}

func startFakeLoki(t *testing.T) *fakeLoki {
	t.Helper()
	f := &fakeLoki{lines: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /loki/api/v1/push", func(w http.ResponseWriter, req *http.Request) {
		if !f.takes.Load() {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		if err := f.take(req.Body); err != nil {
			t.Errorf("a push that can't be read: %v", err)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeLoki) take(body io.Reader) error {
	encoded, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if encoded, err = snappy.Decode(nil, encoded); err != nil {
		return err
	}
	var req push.PushRequest
	if err := req.Unmarshal(encoded); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, stream := range req.Streams {
		for _, entry := range stream.Entries {
			f.lines[entry.Line]++
		}
	}
	return nil
}

const (
	// smallQueue takes a part only of what the test sends.
	smallQueue = "ingest: {max_request_bytes: 64KiB}\nqueue: {max_bytes: 256KiB, tenant_max_bytes: 256KiB}\n"
	requests   = 40
	lineSize   = 1 << 14 // of random hexadecimal digits, which compress to a half
)

// When the queue is full, the Collector is told when to come again, keeps what it
// has, and sends it then.
func TestCollectorWaitsWhileTheQueueIsFull(t *testing.T) {
	for _, exporter := range exporters {
		t.Run(exporter, func(t *testing.T) {
			loki := startFakeLoki(t)
			config := filepath.Join(t.TempDir(), "invoscope.yaml")
			content := smallQueue + fmt.Sprintf("engines: {loki: {url: %q}}\n", loki.URL)
			if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			r := startRelay(t, "--config", config)
			c := startCollector(t, r)
			sent, err := c.sendLargeLines(t.Context(), exporter)
			if err != nil {
				t.Fatal(err)
			}
			harness.Poll(t, visibleLimit, "the Collector is told to wait", func() error {
				// How it writes that it was given a Retry-After or RetryInfo.
				if !strings.Contains(c.Output(), `"error": "Throttle (`) {
					return errors.New("it has not said so")
				}
				return nil
			})
			loki.takes.Store(true)
			harness.Poll(t, visibleLimit, "every line is there", func() error {
				loki.mu.Lock()
				defer loki.mu.Unlock()
				for _, line := range sent {
					if loki.lines[line] == 0 {
						return fmt.Errorf("%.20s… is missing (%d lines of %d)", line, len(loki.lines), len(sent))
					}
				}
				return nil
			})
			counts, err := metrics(t, c.metrics)
			if err != nil {
				t.Fatal(err)
			}
			if n := counts["otelcol_exporter_send_failed_log_records"]; n != 0 {
				t.Errorf("the Collector gave up %v records", n)
			}
		})
	}
}

// sendLargeLines gives the Collector more than a small queue holds.
func (c *collector) sendLargeLines(ctx context.Context, exporter string) ([]string, error) {
	sent := make([]string, requests)
	for i := range sent {
		random := make([]byte, lineSize)
		_, _ = rand.Read(random) // never fails
		sent[i] = fmt.Sprintf("%d %s", i, hex.EncodeToString(random))
		if err := c.sendLogs(ctx, exporter, sent[i]); err != nil {
			return nil, err
		}
	}
	return sent, nil
}
