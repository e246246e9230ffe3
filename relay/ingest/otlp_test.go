package ingest

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/relay/fault"
)

// spans makes good spans, and bad ones without ids.
func spans(good, bad int) ptrace.Traces {
	traces := ptrace.NewTraces()
	rs := traces.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("tenant", "globex")
	ss := rs.ScopeSpans().AppendEmpty()
	for i := range good + bad {
		span := ss.Spans().AppendEmpty()
		span.SetName(fmt.Sprint(i))
		if i < good {
			span.SetTraceID([16]byte{15: 1})
			span.SetSpanID([8]byte{6: 1, 7: byte(i)})
		}
	}
	return traces
}

func TestSpansWithoutIDsAreRefusedAlone(t *testing.T) {
	for _, contentType := range []string{"application/x-protobuf", "application/json"} {
		f := newFixture(t)
		req, resp := ptraceotlp.NewExportRequestFromTraces(spans(3, 2)), ptraceotlp.NewExportResponse()
		encode, decode := req.MarshalProto, resp.UnmarshalProto
		if contentType == "application/json" {
			encode, decode = req.MarshalJSON, resp.UnmarshalJSON
		}
		body, err := encode()
		if err != nil {
			t.Fatal(err)
		}
		w := do(f.OTLPTraces, fault.OTLP, header("Content-Type", contentType), body)
		if err := decode(w.Body.Bytes()); err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType {
			t.Fatalf("%s: %d %v %v", contentType, w.Code, w.Header(), err)
		}
		if got := resp.PartialSuccess(); got.RejectedSpans() != 2 || !strings.Contains(got.ErrorMessage(), "2 spans without") {
			t.Errorf("%s: partial success %d %q", contentType, got.RejectedSpans(), got.ErrorMessage())
		}
		stored := f.traces.traces(t)
		if stored.SpanCount() != 3 {
			t.Errorf("%s: %d spans were stored", contentType, stored.SpanCount())
		}
		if tenant, _ := stored.ResourceSpans().At(0).Resource().Attributes().Get("tenant"); tenant.AsString() != "acme" {
			t.Errorf("%s: the spans' tenant is %q", contentType, tenant.AsString())
		}
	}
}

func TestRecordedTracesAreKept(t *testing.T) {
	for _, name := range []string{"traces-debug-01.otlp.pb", "traces-debug-02.otlp.pb", "traces-v162-01.otlp.pb"} {
		body, err := os.ReadFile("../../testdata/restate/" + name)
		if err != nil {
			t.Fatal(err)
		}
		sent, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
		if err != nil {
			t.Fatal(err)
		}
		f := newFixture(t)
		f.opts.MaxBytes = 1 << 20
		w := do(f.OTLPTraces, fault.OTLP, header("Content-Type", "application/x-protobuf", "Content-Encoding", "gzip"), zipped(t, body))
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
		resp := ptraceotlp.NewExportResponse()
		if err := resp.UnmarshalProto(w.Body.Bytes()); err != nil {
			t.Fatal(err)
		}
		if got := f.traces.traces(t).SpanCount() + int(resp.PartialSuccess().RejectedSpans()); got != sent.SpanCount() {
			t.Errorf("%s: %d of %d spans are accounted for", name, got, sent.SpanCount())
		}
	}
}

func TestOTLPAnswers(t *testing.T) {
	body, err := plogotlp.NewExportRequestFromLogs(records()).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	proto := "application/x-protobuf"
	for name, c := range map[string]struct {
		header http.Header
		body   []byte
		status int
		stored int
	}{
		"protobuf":            {header("Content-Type", proto), body, 200, 1},
		"gzip":                {header("Content-Type", proto, "Content-Encoding", "gzip"), zipped(t, body), 200, 1},
		"zstd":                {header("Content-Type", proto, "Content-Encoding", "zstd"), zstded(t, body), 200, 1},
		"empty":               {header("Content-Type", proto), nil, 200, 0},
		"empty JSON":          {header("Content-Type", "application/json"), []byte("{}"), 200, 0},
		"no content type":     {header(), body, 415, 0},
		"another type":        {header("Content-Type", "text/plain"), body, 415, 0},
		"an unknown encoding": {header("Content-Type", proto, "Content-Encoding", "br"), body, 415, 0},
		"truncated":           {header("Content-Type", proto), body[:len(body)-3], 400, 0},
		"broken JSON":         {header("Content-Type", "application/json"), []byte("{"), 400, 0},
		"not gzip":            {header("Content-Type", proto, "Content-Encoding", "gzip"), body, 400, 0},
		"too large":           {header("Content-Type", proto), make([]byte, maxBytes+1), 413, 0},
		"a bomb":              {header("Content-Type", proto, "Content-Encoding", "gzip"), zipped(t, make([]byte, 10*maxBytes)), 413, 0},
		"a zstd bomb":         {header("Content-Type", proto, "Content-Encoding", "zstd"), zstded(t, make([]byte, 10*maxBytes)), 413, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			w := do(f.OTLPLogs, fault.OTLP, c.header, c.body)
			if w.Code != c.status || len(f.logs.bodies) != c.stored {
				t.Errorf("%d %q with %d stored, want %d with %d", w.Code, w.Body, len(f.logs.bodies), c.status, c.stored)
			}
		})
	}
}

// records is one OTLP log record of a Restate container and one of a user's
// service.
func records() plog.Logs {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("k8s.container.name", "restate")
	rl.Resource().Attributes().PutStr("service.name", "restate-server")
	rl.Resource().Attributes().PutStr("host.name", "node-1")
	rl.Resource().Attributes().PutStr("tenant", "globex")
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName("scope")
	sl.Scope().SetVersion("1")
	r := sl.LogRecords().AppendEmpty()
	r.SetTimestamp(7)
	r.SetObservedTimestamp(8)
	r.SetSeverityNumber(plog.SeverityNumberWarn)
	r.SetSeverityText("WARN")
	r.SetTraceID([16]byte{15: 1})
	r.SetSpanID([8]byte{7: 2})
	r.SetFlags(plog.DefaultLogRecordFlags.WithIsSampled(true))
	r.Body().SetStr("[restate][2026-11-23T03:14:00.856Z][Greeter/greet][" + id + "] DEBUG: Start invocation")
	r.Attributes().PutStr("http.method", "GET")
	r.Attributes().PutEmptyMap("nested").PutInt("deep.er", 3)
	user := sl.LogRecords().AppendEmpty()
	user.SetObservedTimestamp(9)
	user.Body().SetEmptyMap().PutStr("message", "hi")
	sl.LogRecords().AppendEmpty()
	return logs
}

func TestOTLPLogsBecomeStreams(t *testing.T) {
	f := newFixture(t)
	if _, err := f.exportLogs(t.Context(), "acme", encodeLogs(t, records())); err != nil {
		t.Fatal(err)
	}
	meta := func(pairs ...string) (m push.LabelsAdapter) {
		pairs = append(pairs, "host_name", "node-1", "scope_name", "scope", "scope_version", "1")
		for i := 0; i < len(pairs); i += 2 {
			m = append(m, push.LabelAdapter{Name: pairs[i], Value: pairs[i+1]})
		}
		return m
	}
	facts := push.LabelsAdapter{
		{Name: "restate_invocation_id", Value: id}, {Name: "restate_invocation_target", Value: "Greeter/greet"}, {Name: "level", Value: "DEBUG"},
	}
	want := []push.Stream{{
		Labels: `{k8s_container_name="restate", kubernetes_container_name="restate", service_name="restate-server", tenant="acme"}`,
		Entries: []push.Entry{
			{
				Timestamp: time.Unix(0, 7).UTC(), Line: "[restate][2026-11-23T03:14:00.856Z][Greeter/greet][" + id + "] DEBUG: Start invocation",
				StructuredMetadata: append(meta("http_method", "GET", "nested_deep_er", "3", "observed_timestamp", "8", "severity_number", "13",
					"severity_text", "WARN", "flags", "1", "trace_id", "00000000000000000000000000000001", "span_id", "0000000000000002"), facts...),
			},
			{Timestamp: time.Unix(0, 8).UTC(), Line: `{"message":"hi"}`, StructuredMetadata: meta("observed_timestamp", "9")},
			{Timestamp: time.Unix(0, 9).UTC(), Line: "", StructuredMetadata: meta()},
		},
	}}
	if diff := cmp.Diff(want, f.logs.streams(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func encodeLogs(t testing.TB, logs plog.Logs) []byte {
	t.Helper()
	body, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestSharedAttributesCannotMultiply(t *testing.T) {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("big", strings.Repeat("x", maxBytes/2))
	sl := rl.ScopeLogs().AppendEmpty()
	for range 100 {
		sl.LogRecords().AppendEmpty()
	}
	if _, err := newFixture(t).exportLogs(t.Context(), "acme", encodeLogs(t, logs)); fault.Of(err).Kind != fault.TooLarge {
		t.Errorf("%v", err)
	}
}

func TestTheTenantIsReplacedWhereverItStands(t *testing.T) {
	traces := spans(1, 0)
	rs := traces.ResourceSpans().At(0)
	rs.Resource().Attributes().PutStr("tenanT", "initech") // becomes a second one of the name
	rs.ScopeSpans().At(0).Scope().Attributes().PutStr("tenant", "globex")
	rs.ScopeSpans().At(0).Spans().At(0).Attributes().PutStr("tenant", "globex")
	wire, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	if _, err := f.exportTraces(t.Context(), "acme", bytes.ReplaceAll(wire, []byte("tenanT"), []byte("tenant"))); err != nil {
		t.Fatal(err)
	}
	stored := f.traces.traces(t).ResourceSpans().At(0)
	if got := stored.Resource().Attributes().AsRaw(); len(got) != 1 || got["tenant"] != "acme" || stored.Resource().Attributes().Len() != 1 {
		t.Errorf("resource: %v", got)
	}
	scope := stored.ScopeSpans().At(0)
	if scope.Scope().Attributes().Len() != 0 || scope.Spans().At(0).Attributes().Len() != 0 {
		t.Errorf("scope %v, span %v", scope.Scope().Attributes().AsRaw(), scope.Spans().At(0).Attributes().AsRaw())
	}
}
