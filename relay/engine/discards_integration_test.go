//go:build integration

package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/relay/engine"
)

// manySpans encodes spans of one trace that are together about n MiB large.
func manySpans(t *testing.T, first, n int) []byte {
	t.Helper()
	traces := ptrace.NewTraces()
	spans := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	now := time.Now()
	for i := range n << 10 {
		span := spans.AppendEmpty()
		span.SetTraceID(pcommon.TraceID{1})
		var id pcommon.SpanID
		binary.BigEndian.PutUint64(id[:], uint64(first<<20+i+1))
		span.SetSpanID(id)
		span.SetName("span")
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(now))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(now))
		span.Attributes().PutStr("filler", strings.Repeat("x", 1000))
	}
	body, err := new(ptrace.ProtoMarshaler).MarshalTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// Tempo acknowledges the spans of a trace that has grown too large, and drops them.
func TestWhatTempoDropsIsCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	e := engine.NewTempo(engine.EmbeddedOptions{
		Binary: program(t, "tempo"), DataDir: filepath.Join(t.TempDir(), "tempo"), Log: logTo(t), Registerer: registry,
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}))
	waitReady(t, e)
	if found := discarded(t, registry); len(found) != 0 {
		t.Errorf("before anything was sent: %v", found)
	}
	const megabytes = 12
	for i := range 8 { // 96 MiB, where 50 are the limit
		if err := e.Push(t.Context(), "acme", manySpans(t, i, megabytes)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, func(context.Context) error {
		for _, m := range discarded(t, registry) {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["tenant"] == "acme" && labels["reason"] == "trace_too_large" && labels["engine"] == "tempo" && m.GetCounter().GetValue() > 0 {
				return nil
			}
		}
		return errors.New("no discarded spans are counted")
	})
}

func discarded(t *testing.T, registry *prometheus.Registry) []*dto.Metric {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "invoscope_engine_discarded_items_total" {
			return f.GetMetric()
		}
	}
	return nil
}
