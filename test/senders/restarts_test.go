//go:build integration

package senders

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/invoscope/invoscope/test/harness"
)

// perTick is how many lines one request to the Collector holds.
const perTick = 5

// feed sends lines and traces through an exporter until ctx ends, and returns how
// many requests of each the Collector took.
func (c *collector) feed(ctx context.Context, exporter string) (int, error) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return i, nil
		case <-ticker.C:
		}
		lines := make([]string, perTick)
		for j := range lines {
			lines[j] = fmt.Sprintf("through %s: request %d line %d", exporter, i, j)
		}
		trace := pcommon.TraceID{0: exporter[0], 14: byte(i >> 8), 15: byte(i)}
		// What was begun is finished.
		whole := context.WithoutCancel(ctx)
		if err := errors.Join(
			c.sendLogs(whole, exporter, lines...),
			c.sendTrace(whole, exporter, trace, pcommon.SpanID{7: 1}, pcommon.SpanID{7: 2}),
		); err != nil {
			return i, err
		}
	}
}

func TestCollectorAcrossRestarts(t *testing.T) {
	r := startRelay(t)
	c := startCollector(t, r)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	took := make([]int, len(exporters))
	var group sync.WaitGroup
	for i, name := range exporters {
		group.Go(func() {
			var err error
			if took[i], err = c.feed(ctx, name); err != nil {
				t.Errorf("the Collector refuses: %v", err)
			}
		})
	}
	r.restarts()
	stop()
	group.Wait()

	total := 0
	for _, n := range took {
		total += n
	}
	t.Logf("the Collector took %v requests of %d lines and of 2 spans", took, perTick)
	harness.Poll(t, visibleLimit, "the Collector counts everything as sent", func() error {
		counts, err := metrics(t, c.metrics)
		if err != nil {
			return err
		}
		for name, want := range map[string]int{
			"otelcol_exporter_sent_log_records":        total * perTick,
			"otelcol_exporter_sent_spans":              total * 2,
			"otelcol_exporter_send_failed_log_records": 0,
			"otelcol_exporter_send_failed_spans":       0,
		} {
			if got := int(counts[name]); got != want {
				return fmt.Errorf("%s is %d, want %d", name, got, want)
			}
		}
		return nil
	})
	for i, name := range exporters {
		r.linesAreThere(fmt.Sprintf(`{service_name="collector-%s"}`, name), took[i]*perTick)
		r.tracesAreThere("collector-"+name, took[i], 2, 2*consumers)
	}
}
