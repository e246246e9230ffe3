package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/correlate"
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

func (m *memory) Append(_ context.Context, tenant string, req queue.Request) error {
	if m.err != nil {
		return m.err
	}
	m.tenant = tenant
	m.bodies = append(m.bodies, bytes.Clone(req.Body))
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

// newFullFixture has all that is optional: continuation lines, and the trace of two
// invocations in three.
func newFullFixture(t testing.TB) *fixture {
	t.Helper()
	f := newFixture(t)
	f.opts.ContinuationLines, f.opts.TraceOf = true, traceOf
	return f
}

func traceOf(tenant, invocationID string) Trace {
	id, err := correlate.ParseInvocationID(invocationID)
	if err != nil || id.UUID[15]%3 == 0 || tenant != "acme" {
		return Trace{}
	}
	trace := Trace{ID: hex.EncodeToString(id.UUID[:])}
	if id.UUID[15]%3 == 1 {
		trace.Until = time.Date(2026, 11, 23, 3, 14, 3, 0, time.UTC).UnixNano() // amid the recording
	}
	return trace
}

func protoPush(t testing.TB, streams ...push.Stream) []byte {
	t.Helper()
	raw, err := (&push.PushRequest{Streams: streams}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return s2.EncodeSnappy(nil, raw)
}

// pushed is an entry that a sender pushes.
func pushed(line string, meta ...push.LabelAdapter) push.Entry {
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

func TestFullQueueIsSaidInEachShape(t *testing.T) {
	f := newFixture(t)
	f.logs.err, f.traces.err = queue.ErrFull, queue.ErrFull
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{pushed("x")}}))
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
	_, err = f.exportTraces(t.Context(), "acme", body)
	if s := fault.Status(err); s.Code().String() != "ResourceExhausted" || len(s.Details()) != 1 {
		t.Errorf("gRPC: %v %v", s, s.Details())
	}
}

func TestQueueThatFailsDoesNotTellWhy(t *testing.T) {
	f := newFixture(t)
	f.logs.err = errors.New("/secret/path: no space left on device")
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{pushed("x")}}))
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// protoRaw compresses an encoded push.PushRequest.
func protoRaw(raw []byte) []byte { return s2.EncodeSnappy(nil, raw) }
