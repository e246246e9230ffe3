//go:build integration

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/test/harness"
)

// Tempo writes the meta.json of a block in its write-ahead log anew at every
// flush, not atomically, and removes a block whose meta.json it can't read when it
// starts (tempodb/encoding/vparquet4/wal_block.go and tempodb/wal/wal.go of Tempo
// 2.9.0). So a kill at the wrong moment takes along what the queue gave up as
// safe minutes before. The fault test meets that moment too rarely.
func TestTempoKilledWhileItWritesItsBlocksMeta(t *testing.T) {
	d := harness.Start(t)
	token, err := d.Client().Token()
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{tenant: d.Tenant, token: token, way: otlpHTTP, run: 1}
	body, err := s.encode(0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.post(t.Context(), dial(t, d), body); err != nil {
		t.Fatal(err)
	}
	harness.Poll(t, drainLimit, "the spans are safe", func() error { return queueIsSafe(t, d.Admin) })
	d.Stop() // rather than kill: what the queue has given up it won't send again
	blocks, err := filepath.Glob(filepath.Join(d.DataDir, "tempo", "wal", "*", "meta.json"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no block in Tempo's log: %v", err)
	}
	for _, meta := range blocks {
		if err := os.Truncate(meta, 0); err != nil {
			t.Fatal(err)
		}
	}
	d = harness.StartIn(t, d.DataDir)
	id := traceID(1, otlpHTTP, 0).String()
	harness.Poll(t, visibleLimit, "the spans are there", func() error {
		spans, err := d.Client().Trace(t.Context(), id)
		if err == nil && len(spans) != spansInTrace {
			err = fmt.Errorf("%d spans, want %d", len(spans), spansInTrace)
		}
		return err
	})
	harness.Poll(t, visibleLimit, "the trace is found", func() error {
		found, err := d.Client().Search(t.Context(), fmt.Sprintf(`{ span.%q = %q }`, markerKey, d.Tenant))
		if err == nil && !slices.Contains(found, id) {
			err = fmt.Errorf("found %v", found)
		}
		return err
	})
}

// queueIsSafe is an error for as long as anything waits or could be forgotten.
func queueIsSafe(t *testing.T, admin string) error {
	samples, err := metrics(t.Context(), admin)
	if err != nil {
		return err
	}
	for name, n := range samples {
		if strings.HasPrefix(name, "invoscope_queue_pending_requests") || strings.HasPrefix(name, "invoscope_queue_kept_requests") {
			if n != 0 {
				return fmt.Errorf("%s is %v", name, n)
			}
		}
	}
	return nil
}
