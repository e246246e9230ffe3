package enginetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/relay/engine"
)

// traceSuite writes and finds traces of one span.
type traceSuite struct{}

func (traceSuite) encode(t *testing.T, names ...string) []byte {
	return TraceRequest(t, time.Now(), names...)
}

// TraceRequest encodes one export request with a trace for each name: a span of
// kind INTERNAL that ended at the given time and has the name as
// restate.invocation.id.
func TraceRequest(t *testing.T, at time.Time, names ...string) []byte {
	t.Helper()
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "enginetest")
	spans := resource.ScopeSpans().AppendEmpty().Spans()
	for _, name := range names {
		addSpan(spans, at, name, traceID(name))
	}
	raw, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func addSpan(spans ptrace.SpanSlice, at time.Time, name string, id pcommon.TraceID) {
	span := spans.AppendEmpty()
	span.SetTraceID(id)
	span.SetSpanID(pcommon.SpanID(id[:8]))
	span.SetName("span of " + name)
	span.SetKind(ptrace.SpanKindInternal)
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(at.Add(-10 * time.Millisecond)))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(at))
	span.Attributes().PutStr("restate.invocation.id", name)
}

// traceID is the id of a record's trace.
func traceID(name string) pcommon.TraceID {
	sum := sha256.Sum256([]byte(name))
	return pcommon.TraceID(sum[:16])
}

func (traceSuite) find(ctx context.Context, e engine.Engine, tenant, name string) (bool, error) {
	byID, err := FindTrace(ctx, e, tenant, name)
	if err != nil || !byID {
		return false, err
	}
	return searchTrace(ctx, e, tenant, name)
}

// FindTrace asks whether the tenant has the trace of that name, by its id.
func FindTrace(ctx context.Context, e engine.Engine, tenant, name string) (bool, error) {
	id := traceID(name)
	code, body, err := ask(ctx, e, tenant, "/api/traces/"+hex.EncodeToString(id[:]), nil)
	switch {
	case err != nil:
		return false, err
	case code == http.StatusNotFound:
		return false, nil
	case code != http.StatusOK:
		return false, fmt.Errorf("trace by id: %d: %s", code, body)
	}
	return bytes.Contains(body, []byte("span of "+name)), nil
}

// searchTrace asks for the trace by a TraceQL query.
func searchTrace(ctx context.Context, e engine.Engine, tenant, name string) (bool, error) {
	code, body, err := ask(ctx, e, tenant, "/api/search", url.Values{"q": {invocationQuery(name)}})
	if err != nil {
		return false, err
	}
	if code != http.StatusOK {
		return false, fmt.Errorf("search: %d: %s", code, body)
	}
	var found struct{ Traces []json.RawMessage }
	if err := json.Unmarshal(body, &found); err != nil {
		return false, fmt.Errorf("search: %w", err)
	}
	return len(found.Traces) == 1, nil
}

func invocationQuery(name string) string {
	return fmt.Sprintf("{ .restate.invocation.id=%q }", name)
}

func (traceSuite) refused(t *testing.T) map[string][]byte {
	traces := ptrace.NewTraces()
	spans := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	addSpan(spans, time.Now(), "no id", pcommon.TraceID{})
	noID, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"garbage":          []byte("this is not protobuf"),
		"without trace id": noID,
		"too large":        TraceRequest(t, time.Now(), string(bytes.Repeat([]byte("x"), 34<<20))),
	}
}

// streams searches over the gRPC API that Grafana uses. Tempo ends the answer
// only when it is complete, so what shows that nothing waits for the end is that
// the header and the first message can be read by themselves.
func (traceSuite) streams(t *testing.T, e engine.Engine) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tenant, name := unique("tenant"), unique("record")
	mustPush(t, e, tenant, TraceRequest(t, time.Now(), name))
	eventually(t, e, traceSuite{}, tenant, name)

	messages, err := streamSearch(ctx, e, tenant, invocationQuery(name))
	if err != nil {
		t.Fatal(err)
	}
	id := traceID(name)
	if !bytes.Contains(bytes.Join(messages, nil), []byte("span of "+name)) {
		t.Errorf("trace %x is not in the %d messages", id[:], len(messages))
	}
}

// streamSearch calls tempopb.StreamingQuerier/Search and returns its messages.
func streamSearch(ctx context.Context, e engine.Engine, tenant, query string) ([][]byte, error) {
	// Fields of tempopb.SearchRequest: 5 start, 6 end (Unix seconds), 8 query.
	now := time.Now()
	var msg []byte
	msg = protowire.AppendVarint(protowire.AppendTag(msg, 5, protowire.VarintType), uint64(now.Add(-time.Hour).Unix()))
	msg = protowire.AppendVarint(protowire.AppendTag(msg, 6, protowire.VarintType), uint64(now.Add(time.Minute).Unix()))
	msg = protowire.AppendString(protowire.AppendTag(msg, 8, protowire.BytesType), query)
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(msg)))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://engine/tempopb.StreamingQuerier/Search", bytes.NewReader(append(frame, msg...)))
	if err != nil {
		return nil, err
	}
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/2.0", 2, 0
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	req.Header.Set("X-Scope-OrgID", tenant)
	resp, err := e.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	messages, err := readFrames(resp.Body)
	if err != nil {
		return nil, err
	}
	if status := resp.Trailer.Get("Grpc-Status"); status != "0" {
		return nil, fmt.Errorf("gRPC status %q: %s %s", status, resp.Trailer.Get("Grpc-Message"), resp.Header.Get("Grpc-Message"))
	}
	return messages, nil
}

// readFrames reads gRPC messages up to the end of the stream.
func readFrames(r io.Reader) ([][]byte, error) {
	var messages [][]byte
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return messages, nil
		} else if err != nil {
			return nil, fmt.Errorf("read a frame: %w", err)
		}
		msg := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(r, msg); err != nil {
			return nil, fmt.Errorf("read a message: %w", err)
		}
		messages = append(messages, msg)
	}
}
