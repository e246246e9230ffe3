package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/queue"
)

const id = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"

// memory keeps what was appended; err refuses it.
type memory struct {
	tenant string
	bodies [][]byte
	err    error
}

func (m *memory) Append(_ context.Context, tenant string, body []byte) error {
	if m.err != nil {
		return m.err
	}
	m.tenant = tenant
	m.bodies = append(m.bodies, bytes.Clone(body))
	return nil
}

// streams decodes the requests for Loki.
func (m *memory) streams(t testing.TB) []push.Stream {
	t.Helper()
	var all []push.Stream
	for _, body := range m.bodies {
		raw, err := s2.Decode(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		var req push.PushRequest
		if err := req.Unmarshal(raw); err != nil {
			t.Fatal(err)
		}
		all = append(all, req.Streams...)
	}
	slices.SortFunc(all, func(a, b push.Stream) int { return strings.Compare(a.Labels, b.Labels) })
	return all
}

func (m *memory) traces(t testing.TB) ptrace.Traces {
	t.Helper()
	if len(m.bodies) != 1 {
		t.Fatalf("%d requests were stored", len(m.bodies))
	}
	traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(m.bodies[0])
	if err != nil {
		t.Fatal(err)
	}
	return traces
}

type fixture struct {
	*Ingest
	logs, traces memory
}

const maxBytes = 64 << 10

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{}
	in, err := New(Options{
		Logs: &f.logs, Traces: &f.traces, TenantKey: "tenant", MaxBytes: maxBytes, Registerer: prometheus.NewRegistry(),
		Now: func() time.Time { return time.Unix(1000, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Ingest = in
	return f
}

func protoPush(t testing.TB, streams ...push.Stream) []byte {
	t.Helper()
	raw, err := (&push.PushRequest{Streams: streams}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return s2.EncodeSnappy(nil, raw)
}

func entry(line string, meta ...push.LabelAdapter) push.Entry {
	return push.Entry{Timestamp: time.Unix(5, 6).UTC(), Line: line, StructuredMetadata: meta}
}

func zipped(t testing.TB, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, body []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(body, nil)
}

// do sends a request and returns the status and the body of the answer.
func do(serve func(http.ResponseWriter, *http.Request, string) error, shape fault.Shape, header http.Header, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	if err := serve(w, r, "acme"); err != nil {
		fault.Write(w, r, shape, err)
	}
	return w
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func manyLabels(n int) string {
	pairs := make([]string, n)
	for i := range pairs {
		pairs[i] = fmt.Sprintf(`l%d="x"`, i)
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func TestLokiPushAnswers(t *testing.T) {
	good := protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{entry("x")}})
	goodJSON := []byte(`{"streams":[{"stream":{"a":"b"},"values":[["5000000006","x"],["7","y",{"k":"v"}]]}]}`)
	bomb := bytes.Repeat([]byte{0}, 10*maxBytes)
	for name, c := range map[string]struct {
		header http.Header
		body   []byte
		status int
		says   string
		stored int
	}{
		"protobuf":                {header("Content-Type", "application/x-protobuf"), good, 204, "", 1},
		"protobuf without a type": {header(), good, 204, "", 1},
		"protobuf, named snappy":  {header("Content-Encoding", "snappy"), good, 204, "", 1},
		"JSON":                    {header("Content-Type", "application/json"), goodJSON, 204, "", 1},
		"JSON with a charset":     {header("Content-Type", "application/json; charset=utf-8"), goodJSON, 204, "", 1},
		"JSON, gzip":              {header("Content-Type", "application/json", "Content-Encoding", "gzip"), zipped(t, goodJSON), 204, "", 1},
		"no entries":              {header(), protoPush(t, push.Stream{Labels: `{a="b"}`}), 204, "", 0},
		"no streams":              {header(), protoPush(t), 422, "at least one valid stream", 0},
		"no labels":               {header(), protoPush(t, push.Stream{Labels: `{}`, Entries: []push.Entry{entry("x")}}), 400, "at least one label pair", 0},
		"bad labels":              {header(), protoPush(t, push.Stream{Labels: `{a=b}`, Entries: []push.Entry{entry("x")}}), 400, "error parsing labels", 0},
		"a label twice":           {header(), protoPush(t, push.Stream{Labels: `{a="b",a="c"}`, Entries: []push.Entry{entry("x")}}), 400, "a", 0},
		"good and bad labels": {header(), protoPush(t, push.Stream{Labels: `{a=b}`, Entries: []push.Entry{entry("x")}},
			push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{entry("x")}}), 400, "error parsing labels", 1},
		"not snappy":            {header(), []byte("nonsense"), 400, "snappy", 0},
		"not a push request":    {header(), s2.EncodeSnappy(nil, []byte("\xff\xff\xff")), 400, "push.PushRequest", 0},
		"broken JSON":           {header("Content-Type", "application/json"), goodJSON[:20], 400, "JSON", 0},
		"a time in JSON":        {header("Content-Type", "application/json"), []byte(`{"streams":[{"stream":{"a":"b"},"values":[["yesterday","x"]]}]}`), 400, "yesterday", 0},
		"a value of one":        {header("Content-Type", "application/json"), []byte(`{"streams":[{"stream":{"a":"b"},"values":[["1"]]}]}`), 400, "1 elements", 0},
		"an unknown encoding":   {header("Content-Encoding", "br"), good, 415, "br", 0},
		"a broken gzip":         {header("Content-Type", "application/json", "Content-Encoding", "gzip"), zipped(t, goodJSON)[:12], 400, "can't be read", 0},
		"too large":             {header(), bomb, 413, "larger", 0},
		"a gzip bomb":           {header("Content-Type", "application/json", "Content-Encoding", "gzip"), zipped(t, bomb), 413, "larger", 0},
		"a snappy bomb":         {header(), s2.EncodeSnappy(nil, bomb), 413, "larger", 0},
		"a zstd bomb":           {header("Content-Type", "application/json", "Content-Encoding", "zstd"), zstded(t, bomb), 413, "larger", 0},
		"a lie about its size":  {header(), []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 413, "larger", 0},
		"long labels":           {header(), protoPush(t, push.Stream{Labels: `{a="` + strings.Repeat("x", 50<<10) + `"}`, Entries: []push.Entry{entry("x")}}), 400, "too long", 0},
		"too much metadata":     {header(), protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{entry("x", make([]push.LabelAdapter, maxMetadata+1)...)}}), 400, "limit 1000", 0},
		"too many labels":       {header(), protoPush(t, push.Stream{Labels: manyLabels(maxLabels + 1), Entries: []push.Entry{entry("x")}}), 400, "limit 38", 0},
		"an empty body":         {header(), nil, 400, "snappy", 0},
		"a forged tenant alone": {header(), protoPush(t, push.Stream{Labels: `{tenant="globex"}`, Entries: []push.Entry{entry("x")}}), 204, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			w := do(f.LokiPush, fault.Plain, c.header, c.body)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%d %q, want %d and %q", w.Code, w.Body, c.status, c.says)
			}
			if got := len(f.logs.bodies); got != c.stored {
				t.Errorf("%d requests were stored, want %d", got, c.stored)
			}
		})
	}
}

func TestLokiPushStoresTheTenantAndTheFacts(t *testing.T) {
	line := `{"timestamp":"2026-11-23T03:14:03.205524Z","level":"DEBUG","fields":{"restate.invocation.id":"` + id + `"}}`
	f := newFixture(t)
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{
		Labels: `{tenant="globex", z="1", a="2", empty=""}`,
		Entries: []push.Entry{
			entry(line),
			entry(line, push.LabelAdapter{Name: "tenant", Value: "globex"}, push.LabelAdapter{Name: "restate_invocation_id", Value: "forged"}, push.LabelAdapter{Name: "level", Value: "debug"}),
			entry("no facts", push.LabelAdapter{Name: "k", Value: "v"}),
		},
	}))
	if w.Code != http.StatusNoContent || f.logs.tenant != "acme" {
		t.Fatalf("%d %s, tenant %q", w.Code, w.Body, f.logs.tenant)
	}
	want := []push.Stream{{
		Labels: `{a="2", tenant="acme", z="1"}`,
		Entries: []push.Entry{
			entry(line, push.LabelAdapter{Name: "restate_invocation_id", Value: id}, push.LabelAdapter{Name: "level", Value: "DEBUG"}),
			entry(line, push.LabelAdapter{Name: "level", Value: "debug"}, push.LabelAdapter{Name: "restate_invocation_id", Value: id}),
			entry("no facts", push.LabelAdapter{Name: "k", Value: "v"}),
		},
	}}
	if diff := cmp.Diff(want, f.logs.streams(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFullQueueIsSaidInEachShape(t *testing.T) {
	f := newFixture(t)
	f.logs.err, f.traces.err = queue.ErrFull, queue.ErrFull
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{entry("x")}}))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("Loki push: %d %v", w.Code, w.Header())
	}
	body, err := ptraceotlp.NewExportRequestFromTraces(spans(1, 0)).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	w = do(f.OTLPTraces, fault.OTLP, header("Content-Type", "application/x-protobuf"), body)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("OTLP: %d %v", w.Code, w.Header())
	}
	_, err = f.storeTraces(t.Context(), "acme", spans(1, 0))
	if s := fault.Status(err); s.Code().String() != "ResourceExhausted" || len(s.Details()) != 1 {
		t.Errorf("gRPC: %v %v", s, s.Details())
	}
}

func TestQueueThatFailsDoesNotTellWhy(t *testing.T) {
	f := newFixture(t)
	f.logs.err = errors.New("/secret/path: no space left on device")
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{entry("x")}}))
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

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
	if err := f.storeLogs(t.Context(), "acme", records()); err != nil {
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
			{Timestamp: time.Unix(0, 9).UTC(), Line: `{"message":"hi"}`, StructuredMetadata: meta()},
			{Timestamp: time.Unix(1000, 0).UTC(), Line: "", StructuredMetadata: meta()},
		},
	}}
	if diff := cmp.Diff(want, f.logs.streams(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// nested is an OTLP request of one log record whose body is levels of arrays.
func nested(levels int) []byte {
	value := []byte{}
	wrap := func(field byte, message []byte) []byte { // a length-delimited field
		return append(binary.AppendUvarint([]byte{field<<3 | 2}, uint64(len(message))), message...)
	}
	if levels < 1000 {
		for range levels {
			value = wrap(5, wrap(1, value)) // AnyValue.array_value, ArrayValue.values
		}
	} else { // prepending a million times would take for ever: write the headers from the inside out, then turn them round
		var heads [][]byte
		size := 0
		for range levels {
			for _, field := range []byte{1, 5} {
				head := binary.AppendUvarint([]byte{field<<3 | 2}, uint64(size))
				heads = append(heads, head)
				size += len(head)
			}
		}
		slices.Reverse(heads)
		value = bytes.Join(heads, nil)
	}
	record := wrap(5, value)                 // LogRecord.body
	return wrap(1, wrap(2, wrap(2, record))) // resource_logs, scope_logs, log_records
}

// A value printed or flattened by recursion would overflow the stack, which ends
// the process.
func TestDeeplyNestedValuesAreRefused(t *testing.T) {
	proto := header("Content-Type", "application/x-protobuf")
	for levels, want := range map[int]int{3: 200, maxDepth: 200, 2 * maxDepth: 400, 5000: 400, 1_000_000: 400} {
		f := newFixture(t)
		f.opts.MaxBytes = 16 << 20
		if w := do(f.OTLPLogs, fault.OTLP, proto, nested(levels)); w.Code != want {
			t.Errorf("%d levels: %d %q", levels, w.Code, w.Body)
		}
		asJSON := `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":` +
			strings.Repeat(`{"kvlistValue":{"values":[{"key":"k","value":`, levels) + `{"stringValue":"]}\\\"{["}` + strings.Repeat(`}]}}`, levels) + `}]}]}]}`
		f.opts.MaxBytes = 64 << 20
		if w := do(f.OTLPLogs, fault.OTLP, header("Content-Type", "application/json"), []byte(asJSON)); w.Code != want {
			t.Errorf("%d levels of JSON: %d %q", levels, w.Code, w.Body)
		}
	}
	// Where values stand in traces: resource, scope, span, event, link.
	for _, where := range []func(ptrace.Traces) pcommon.Map{
		func(tr ptrace.Traces) pcommon.Map { return tr.ResourceSpans().At(0).Resource().Attributes() },
		func(tr ptrace.Traces) pcommon.Map {
			return tr.ResourceSpans().At(0).ScopeSpans().At(0).Scope().Attributes()
		},
		func(tr ptrace.Traces) pcommon.Map {
			return tr.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes()
		},
		func(tr ptrace.Traces) pcommon.Map {
			return tr.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Events().AppendEmpty().Attributes()
		},
		func(tr ptrace.Traces) pcommon.Map {
			return tr.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Links().AppendEmpty().Attributes()
		},
	} {
		traces := spans(1, 0)
		m := where(traces)
		for range 2 * maxDepth {
			m = m.PutEmptyMap("m")
		}
		body, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
		if err != nil {
			t.Fatal(err)
		}
		if w := do(newFixture(t).OTLPTraces, fault.OTLP, proto, body); w.Code != http.StatusBadRequest {
			t.Errorf("traces: %d", w.Code)
		}
	}
}

func TestSharedAttributesCannotMultiply(t *testing.T) {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("big", strings.Repeat("x", maxBytes/2))
	sl := rl.ScopeLogs().AppendEmpty()
	for range 100 {
		sl.LogRecords().AppendEmpty()
	}
	if err := newFixture(t).storeLogs(t.Context(), "acme", logs); fault.Of(err).Kind != fault.TooLarge {
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
	if traces, err = (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(bytes.ReplaceAll(wire, []byte("tenanT"), []byte("tenant"))); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	if _, err := f.storeTraces(t.Context(), "acme", traces); err != nil {
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

func FuzzLokiPush(f *testing.F) {
	f.Add(protoPush(f, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{entry("x")}}), false)
	f.Add([]byte(`{"streams":[{"stream":{"a":"b"},"values":[["5","x",{"k":"v"}]]}]}`), true)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		fx := newFixture(t)
		h := header()
		if asJSON {
			h = header("Content-Type", "application/json")
		}
		w := do(fx.LokiPush, fault.Plain, h, body)
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		for _, s := range fx.logs.streams(t) {
			if !strings.Contains(s.Labels, `tenant="acme"`) {
				t.Errorf("stored as %s", s.Labels)
			}
		}
	})
}

func FuzzOTLP(f *testing.F) {
	body, err := ptraceotlp.NewExportRequestFromTraces(spans(2, 1)).MarshalProto()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, false)
	f.Add([]byte(`{"resourceSpans":[{}]}`), true)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		fx := newFixture(t)
		h := header("Content-Type", "application/x-protobuf")
		if asJSON {
			h = header("Content-Type", "application/json")
		}
		for _, w := range []*httptest.ResponseRecorder{do(fx.OTLPTraces, fault.OTLP, h, body), do(fx.OTLPLogs, fault.OTLP, h, body)} {
			if w.Code >= http.StatusInternalServerError {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
	})
}

func BenchmarkLokiPush(b *testing.B) {
	recorded, err := os.ReadFile("../../testdata/restate/restate-debug.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(recorded)), "\n")
	for _, n := range []int{10, 100, 900} {
		b.Run(fmt.Sprintf("%d lines", n), func(b *testing.B) {
			s := push.Stream{Labels: `{kubernetes_container_name="restate", cluster="x"}`}
			size := 0
			for _, line := range lines[:n] {
				s.Entries = append(s.Entries, entry(line))
				size += len(line)
			}
			body := protoPush(b, s)
			f := newFixture(b)
			f.opts.MaxBytes = 10 << 20
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if w := do(f.LokiPush, fault.Plain, header(), body); w.Code != http.StatusNoContent {
					b.Fatal(w.Code, w.Body)
				}
				f.logs.bodies = f.logs.bodies[:0]
			}
		})
	}
}

func BenchmarkOTLPTraces(b *testing.B) {
	body, err := os.ReadFile("../../testdata/restate/traces-debug-01.otlp.pb")
	if err != nil {
		b.Fatal(err)
	}
	f := newFixture(b)
	f.opts.MaxBytes = 10 << 20
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if w := do(f.OTLPTraces, fault.OTLP, header("Content-Type", "application/x-protobuf"), body); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
		f.traces.bodies = f.traces.bodies[:0]
	}
}
