package ingest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/queue"
)

// byTenant keeps what each tenant sent.
type byTenant struct {
	mu   sync.Mutex
	kept map[string]*memory
}

func (m *byTenant) Append(ctx context.Context, tenant string, req queue.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept[tenant] == nil {
		m.kept[tenant] = &memory{}
	}
	return m.kept[tenant].Append(ctx, tenant, req)
}

// Requests share memory one after another; nothing of one may show in another.
func TestNothingOfARequestIsInAnother(t *testing.T) {
	logs, traces := byTenant{kept: map[string]*memory{}}, byTenant{kept: map[string]*memory{}}
	in, err := New(Options{
		Logs: &logs, Traces: &traces, TenantKey: "tenant", MaxBytes: 1 << 20, Registerer: prometheus.NewRegistry(),
		ContinuationLines: true, TraceOf: traceOf,
	})
	if err != nil {
		t.Fatal(err)
	}
	const tenants, rounds = 8, 30
	var wg sync.WaitGroup
	for i := range tenants {
		wg.Go(func() {
			name := fmt.Sprint("tenant-", i)
			for n := range rounds {
				if err := sendAll(t, in, name, 1+(n*7+i*3)%40); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range tenants {
		name := fmt.Sprint("tenant-", i)
		entries := 0
		for _, s := range logs.kept[name].streams(t) {
			for _, e := range s.Entries {
				entries++
				all := s.Labels + e.Line + fmt.Sprint(e.StructuredMetadata)
				if strings.Count(all, name) != 4 || strings.Count(all, "tenant-") != 4 {
					t.Fatalf("%s: %s", name, all)
				}
			}
		}
		spans := 0
		for _, body := range traces.kept[name].bodies {
			stored, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
			if err != nil {
				t.Fatal(err)
			}
			spans += stored.SpanCount()
			if strings.Count(string(body), name) != stored.SpanCount()+1 || strings.Count(string(body), "tenant-") != stored.SpanCount()+1 {
				t.Fatalf("%s: %q", name, body)
			}
		}
		want := 0
		for n := range rounds {
			want += 1 + (n*7+i*3)%40
		}
		if entries != 2*want || spans != want {
			t.Errorf("%s: %d entries and %d spans, want %d and %d", name, entries, spans, 2*want, want)
		}
	}
}

// sendAll sends n entries, n log records and n spans, each of which names its
// tenant wherever it can.
func sendAll(t *testing.T, in *Ingest, tenant string, n int) error {
	s := push.Stream{Labels: `{app="` + tenant + `"}`}
	l := plog.NewLogs()
	rl := l.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", tenant)
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	tr := ptrace.NewTraces()
	ss := tr.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty()
	for i := range n {
		s.Entries = append(s.Entries, pushed(tenant, push.LabelAdapter{Name: "k", Value: tenant}))
		r := records.AppendEmpty()
		r.Body().SetStr(tenant)
		r.Attributes().PutEmptySlice("k").AppendEmpty().SetStr(tenant) // printed, not referred to
		span := ss.Spans().AppendEmpty()
		span.SetTraceID([16]byte{1})
		span.SetSpanID([8]byte{1, byte(i)})
		span.SetName(tenant)
	}
	traces, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(tr)
	if err != nil {
		return err
	}
	if _, err := in.exportTraces(t.Context(), tenant, traces); err != nil {
		return err
	}
	if _, err := in.exportLogs(t.Context(), tenant, encodeLogs(t, l)); err != nil {
		return err
	}
	b := in.logs(tenant)
	defer b.release()
	if err := b.decompress(protoPush(t, s)); err != nil {
		return err
	}
	if err := b.push(b.raw); err != nil {
		return err
	}
	return b.store(t.Context())
}

// What a request takes doesn't grow with its lines.
func TestLinesAreNotAllocated(t *testing.T) {
	f := newFullFixture(t)
	f.opts.MaxBytes = 10 << 20
	f.opts.Logs = new(nowhere)
	f.opts.TraceOf = func(string, string) Trace { return Trace{ID: "01a206657936f47db1cb0da40cc71744"} }
	var counts [2]float64
	for i, n := range []int{10, 110} {
		s := push.Stream{Labels: `{a="b"}`}
		for _, line := range recordedLines(t, "restate-debug.jsonl")[:n] {
			s.Entries = append(s.Entries, pushed(line, push.LabelAdapter{Name: "k", Value: "v"}))
		}
		body := protoPush(t, s)
		counts[i] = testing.AllocsPerRun(20, func() {
			if w := do(f.LokiPush, fault.Plain, header(), body); w.Code != http.StatusNoContent {
				t.Fatal(w.Code, w.Body)
			}
		})
	}
	if per := (counts[1] - counts[0]) / 100; per > 0.1 { // related ids are joined
		t.Errorf("%.2f allocations a line", per)
	}
}
