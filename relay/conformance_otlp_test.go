package relay

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	otlpProto = "application/x-protobuf"
	otlpJSON  = "application/json"
)

// export is an OTLP request for one of the paths, in both encodings. JSON is nil
// where there is no such thing.
type export struct {
	signal        string // logs or traces
	proto, asJSON []byte
}

type encoded interface {
	MarshalProto() ([]byte, error)
	MarshalJSON() ([]byte, error)
}

func newExport(t *testing.T, signal string, req encoded) export {
	t.Helper()
	e := export{signal: signal}
	var err error
	if e.proto, err = req.MarshalProto(); err != nil {
		t.Fatal(err)
	}
	if e.asJSON, err = req.MarshalJSON(); err != nil {
		t.Fatal(err)
	}
	return e
}

// http sends it and returns the answer: status, Retry-After, what was rejected
// and the message.
func (e export) http(t *testing.T, addr string, h http.Header, body []byte) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/"+e.signal, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h
	req.Header.Set("Authorization", "Bearer good")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(resp.StatusCode)
	if after := resp.Header.Get("Retry-After"); after != "" {
		text += " retry " + after
	}
	contentType := resp.Header.Get("Content-Type")
	if want := h.Get("Content-Type"); strings.HasPrefix(want, otlpJSON) != (contentType == otlpJSON) {
		t.Errorf("a request of type %q is answered with %q", want, contentType)
	}
	if resp.StatusCode == http.StatusOK {
		return strings.TrimSpace(text + " " + e.partial(t, answer, contentType))
	}
	var s status.Status
	decode := proto.Unmarshal
	if contentType == otlpJSON {
		decode = protojson.Unmarshal
	}
	if err := decode(answer, &s); err != nil {
		t.Errorf("%q is no Status: %v", answer, err)
	}
	return text + " " + s.GetMessage()
}

// partial is the partial success of an answer.
func (e export) partial(t *testing.T, answer []byte, contentType string) string {
	t.Helper()
	var rejected int64
	var message string
	var err error
	if e.signal == "logs" {
		resp := plogotlp.NewExportResponse()
		if err = resp.UnmarshalProto(answer); contentType == otlpJSON {
			err = resp.UnmarshalJSON(answer)
		}
		rejected, message = resp.PartialSuccess().RejectedLogRecords(), resp.PartialSuccess().ErrorMessage()
	} else {
		resp := ptraceotlp.NewExportResponse()
		if err = resp.UnmarshalProto(answer); contentType == otlpJSON {
			err = resp.UnmarshalJSON(answer)
		}
		rejected, message = resp.PartialSuccess().RejectedSpans(), resp.PartialSuccess().ErrorMessage()
	}
	if err != nil {
		t.Errorf("%q is no response: %v", answer, err)
	}
	if message == "" {
		return ""
	}
	return fmt.Sprintf("rejected %d: %s", rejected, message)
}

// grpc sends it and returns the answer: code, retry delay, what was rejected and
// the message.
func (e export) grpc(t *testing.T, addr, encoding string, body []byte) string {
	t.Helper()
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))
	method := exportLogs
	if e.signal == "traces" {
		method = exportTraces
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+method, bytes.NewReader(append(frame, body...)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = headers{"Content-Type", "application/grpc", "Te", "trailers", "Authorization", "Bearer good"}.header()
	if encoding != "" {
		req.Header.Set("Grpc-Encoding", encoding)
		frame[0] = 1
		req.Body = io.NopCloser(bytes.NewReader(append(frame, body...)))
	}
	resp, err := h2c(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string) string { return resp.Header.Get(name) + resp.Trailer.Get(name) }
	var code int
	if _, err := fmt.Sscan(get("Grpc-Status"), &code); err != nil {
		t.Fatal(err)
	}
	text := codes.Code(code).String()
	if code == 0 {
		answer = answer[5:]
		if used := resp.Header.Get("Grpc-Encoding"); used != "" && used != "identity" {
			answer = decompress(t, used, answer)
		}
		return strings.TrimSpace(text + " " + e.partial(t, answer, ""))
	}
	return text + retryDelay(t, get("Grpc-Status-Details-Bin")) + " " + get("Grpc-Message")
}

// retryDelay is the delay of the RetryInfo in a Grpc-Status-Details-Bin.
func retryDelay(t *testing.T, details string) string {
	t.Helper()
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(details, "="))
	if err != nil {
		t.Fatal(err)
	}
	var s status.Status
	if err := proto.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	for _, any := range s.GetDetails() {
		var info errdetails.RetryInfo
		if any.UnmarshalTo(&info) == nil {
			return fmt.Sprintf(" retry %d", int(info.GetRetryDelay().AsDuration()/time.Second))
		}
	}
	return ""
}

// otlpRow is a request and what is answered over HTTP and over gRPC.
type otlpRow struct {
	request    export
	http, grpc string
	stored     string
	fail       error
}

func (row otlpRow) run(t *testing.T) {
	t.Helper()
	each := func(name, want string, send func(f *fixture) string) {
		r, s := newTable(t)
		s.fail(row.fail)
		if got := send(&fixture{relay: r}); got != want {
			t.Errorf("%s: answer %q\nwant %q", name, got, want)
		}
		if got := s.String(); got != row.stored {
			t.Errorf("%s: stored %q\nwant %q", name, got, row.stored)
		}
	}
	for _, encoding := range []string{"", "gzip", "zstd"} {
		h := headers{"Content-Type", otlpProto, "Content-Encoding", encoding}
		each("HTTP protobuf "+encoding, row.http, func(f *fixture) string {
			return row.request.http(t, f.publicPort(t), h.header(), compress(t, encoding, row.request.proto))
		})
		if row.request.asJSON != nil {
			h[1] = otlpJSON
			each("HTTP JSON "+encoding, row.http, func(f *fixture) string {
				return row.request.http(t, f.publicPort(t), h.header(), compress(t, encoding, row.request.asJSON))
			})
		}
		each("gRPC "+encoding, row.grpc, func(f *fixture) string {
			return row.request.grpc(t, f.grpcPort(t), encoding, compress(t, encoding, row.request.proto))
		})
		each("gRPC on the public port "+encoding, row.grpc, func(f *fixture) string {
			return row.request.grpc(t, f.publicPort(t), encoding, compress(t, encoding, row.request.proto))
		})
	}
}

// failureRows are what clients are told when it isn't their fault.
func failureRows(request export) map[string]otlpRow {
	return map[string]otlpRow{
		"the queue is full": {request: request, http: "503 retry 2 too much waits to be stored, try again later",
			grpc: "ResourceExhausted retry 2 too much waits to be stored, try again later", fail: failures["the queue is full"]},
		"too large for a queue": {request: request, http: "413 the request is larger than the queue takes",
			grpc: "InvalidArgument the request is larger than the queue takes", fail: failures["too large for a queue"]},
		"the disk is full": {request: request, http: "503 retry 2 the request could not be stored, try again later",
			grpc: "Unavailable retry 2 the request could not be stored, try again later", fail: failures["the disk is full"]},
	}
}

// record is a log record of a request, with what makes it special.
type record func(plog.LogRecord)

func logsOf(t *testing.T, records ...record) export {
	t.Helper()
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("k8s.container.name", "restate")
	sl := rl.ScopeLogs().AppendEmpty()
	for _, change := range records {
		r := sl.LogRecords().AppendEmpty()
		r.SetTimestamp(stamp(0))
		r.Body().SetStr("x")
		change(r)
	}
	return newExport(t, "logs", plogotlp.NewExportRequestFromLogs(logs))
}

func TestOTLPLogsConformance(t *testing.T) {
	const one = `{k8s_container_name="restate", kubernetes_container_name="restate", tenant="acme"} `
	const two = one + "0s x; " + one + "0s x"
	x := func(plog.LogRecord) {}
	row := func(bad record, rejected, stored string) otlpRow {
		return otlpRow{request: logsOf(t, x, bad, x), http: strings.TrimSpace("200 " + rejected), grpc: strings.TrimSpace("OK " + rejected), stored: stored}
	}
	deep := func(r plog.LogRecord) {
		m := r.Body().SetEmptyMap()
		for range 70 {
			m = m.PutEmptyMap("m")
		}
	}
	tooDeep := "a body or an attribute is nested too deeply (at most 64 levels)"
	noUTF8 := row(func(r plog.LogRecord) { r.Body().SetStr("\xff") }, "rejected 1: 1 log records with text that isn't valid UTF-8", two)
	noUTF8.request.asJSON = nil // what writes it puts replacement characters there
	rows := map[string]otlpRow{
		"good": row(func(r plog.LogRecord) { r.Attributes().PutInt("a.b", 5) }, "", one+"0s x; "+one+"0s x a_b=5; "+one+"0s x"),
		"no time": row(func(r plog.LogRecord) {
			r.SetTimestamp(0)
			r.SetObservedTimestamp(stamp(time.Second))
		}, "", one+"0s x; "+one+"1ns x observed_timestamp=1795521601000000000; "+one+"0s x"),
		"too old": row(func(r plog.LogRecord) { r.SetTimestamp(stamp(-2 * tableAge)) },
			"rejected 0: 1 log records older than 1h are kept as dead letters", two+"; dead "+one+"-2h0m0s x"),
		"too far in the future": row(func(r plog.LogRecord) { r.SetTimestamp(stamp(2 * tableLead)) }, "rejected 1: 1 log records more than 1m in the future", two),
		"too large":             row(func(r plog.LogRecord) { r.Body().SetStr(strings.Repeat("y", tableItem+1)) }, "rejected 1: 1 log records larger than 10000 bytes", two),
		"an attribute of nothing": row(func(r plog.LogRecord) { r.Attributes().PutStr("_", "v") },
			"rejected 1: 1 log records with an attribute whose name can't be a label's", two),
		"invalid UTF-8": noUTF8,
		"nested deeply": {request: logsOf(t, x, deep), http: "400 " + tooDeep, grpc: "InvalidArgument " + tooDeep},
		"empty":         {request: newExport(t, "logs", plogotlp.NewExportRequest()), http: "200", grpc: "OK"},
		"not OTLP":      {request: export{"logs", []byte("\xff\xff\xff"), nil}, http: "400 the request is not OTLP", grpc: "InvalidArgument the request is not OTLP"},
		"truncated":     {request: export{"logs", logsOf(t, x).proto[:40], nil}, http: "400 the request is not OTLP", grpc: "InvalidArgument the request is not OTLP"},
	}
	for name, row := range rows {
		t.Run(name, row.run)
	}
	for name, row := range failureRows(logsOf(t, x)) {
		t.Run(name, row.run)
	}
}

// span is a span of a request, with what makes it special.
type span func(ptrace.Span)

func tracesOf(t *testing.T, spans ...span) export {
	t.Helper()
	traces := ptrace.NewTraces()
	rs := traces.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("tenant", "globex")
	ss := rs.ScopeSpans().AppendEmpty()
	for i, change := range spans {
		s := ss.Spans().AppendEmpty()
		s.SetName(fmt.Sprint(i))
		s.SetTraceID([16]byte{1})
		s.SetSpanID([8]byte{byte(i + 1)})
		s.SetEndTimestamp(stamp(0))
		change(s)
	}
	return newExport(t, "traces", ptraceotlp.NewExportRequestFromTraces(traces))
}

func TestOTLPTracesConformance(t *testing.T) {
	const two = "acme 0; acme 2"
	x := func(ptrace.Span) {}
	row := func(bad span, rejected, stored string) otlpRow {
		return otlpRow{request: tracesOf(t, x, bad, x), http: strings.TrimSpace("200 " + rejected), grpc: strings.TrimSpace("OK " + rejected), stored: stored}
	}
	noID := func(s ptrace.Span) { s.SetTraceID(pcommon.TraceID{}) }
	noUTF8 := row(func(s ptrace.Span) { s.SetName("\xff") }, "rejected 1: 1 spans with text that isn't valid UTF-8", two)
	noUTF8.request.asJSON = nil
	deep := func(s ptrace.Span) {
		m := s.Attributes().PutEmptyMap("m")
		for range 70 {
			m = m.PutEmptyMap("m")
		}
	}
	tooDeep := "a body or an attribute is nested too deeply (at most 64 levels)"
	rows := map[string]otlpRow{
		"good":                  row(x, "", "acme 0; acme 1; acme 2"),
		"no trace id":           row(noID, "rejected 1: 1 spans without a valid trace id and span id", two),
		"no span id":            row(func(s ptrace.Span) { s.SetSpanID(pcommon.SpanID{}) }, "rejected 1: 1 spans without a valid trace id and span id", two),
		"too old":               row(func(s ptrace.Span) { s.SetEndTimestamp(stamp(-2 * tableAge)) }, "rejected 1: 1 spans older than 1h", two),
		"too far in the future": row(func(s ptrace.Span) { s.SetEndTimestamp(stamp(2 * tableLead)) }, "rejected 1: 1 spans more than 1m in the future", two),
		"too large":             row(func(s ptrace.Span) { s.SetName(strings.Repeat("y", tableItem)) }, "rejected 1: 1 spans larger than 10000 bytes", two),
		"invalid UTF-8":         noUTF8,
		"several reasons": {request: tracesOf(t, noID, noID, func(s ptrace.Span) { s.SetEndTimestamp(1) }),
			http: "200 rejected 3: 2 spans without a valid trace id and span id; 1 spans older than 1h",
			grpc: "OK rejected 3: 2 spans without a valid trace id and span id; 1 spans older than 1h"},
		"nested deeply": {request: tracesOf(t, x, deep), http: "400 " + tooDeep, grpc: "InvalidArgument " + tooDeep},
		"empty":         {request: newExport(t, "traces", ptraceotlp.NewExportRequest()), http: "200", grpc: "OK"},
		"not OTLP":      {request: export{"traces", []byte("\xff\xff\xff"), nil}, http: "400 the request is not OTLP", grpc: "InvalidArgument the request is not OTLP"},
		"truncated":     {request: export{"traces", tracesOf(t, x).proto[:40], nil}, http: "400 the request is not OTLP", grpc: "InvalidArgument the request is not OTLP"},
	}
	for name, row := range rows {
		t.Run(name, row.run)
	}
	for name, row := range failureRows(tracesOf(t, x)) {
		t.Run(name, row.run)
	}
}

// What goes wrong before anybody looks at the request.
func TestOTLPTransportConformance(t *testing.T) {
	good := logsOf(t, func(plog.LogRecord) {})
	const one = `{k8s_container_name="restate", kubernetes_container_name="restate", tenant="acme"} 0s x`
	const wantType = "415 Content-Type must be application/x-protobuf or application/json"
	large := make([]byte, tableBytes+1)
	bomb := make([]byte, 100*tableBytes)
	const tooLarge = "413 the request is larger than 65536 bytes"
	for name, row := range map[string]struct {
		headers      headers
		body         []byte
		want, stored string
	}{
		"protobuf with a parameter": {headers{"Content-Type", otlpProto + "; proto=x"}, good.proto, "200", one},
		"no content type":           {headers{}, good.proto, wantType, ""},
		"another content type":      {headers{"Content-Type", "text/plain"}, good.proto, wantType, ""},
		"JSON said to be protobuf":  {headers{"Content-Type", otlpProto}, good.asJSON, "400 the request is not OTLP", ""},
		"JSON cut off":              {headers{"Content-Type", otlpJSON}, good.asJSON[:20], `400 the request is not OTLP: readStringSlowPath: unexpected end of input, error found in #10 byte of ...|Logs":[{"r|..., bigger context ...|{"resourceLogs":[{"r|...`, ""},
		"an unknown encoding":       {headers{"Content-Type", otlpProto, "Content-Encoding", "br"}, good.proto, `415 Content-Encoding "br" is not supported (want gzip, deflate, zstd or none)`, ""},
		"deflate, which is zlib":    {headers{"Content-Type", otlpProto, "Content-Encoding", "deflate"}, compress(t, "zlib", good.proto), "200", one},
		"bare deflate":              {headers{"Content-Type", otlpProto, "Content-Encoding", "deflate"}, compress(t, "flate", good.proto), "200", one},
		"snappy":                    {headers{"Content-Type", otlpProto, "Content-Encoding", "snappy"}, good.proto, `415 Content-Encoding "snappy" is not supported (want gzip, deflate, zstd or none)`, ""},
		"not gzip":                  {headers{"Content-Type", otlpProto, "Content-Encoding", "gzip"}, good.proto, "400 the request's body is not gzip: gzip: invalid header", ""},
		"truncated gzip":            {headers{"Content-Type", otlpJSON, "Content-Encoding", "gzip"}, compress(t, "gzip", good.proto)[:30], "400 the request's body can't be read: unexpected EOF", ""},
		"not zstd":                  {headers{"Content-Type", otlpJSON, "Content-Encoding", "zstd"}, good.proto, "400 the request's body can't be read: invalid input: magic number mismatch", ""},
		"too large":                 {headers{"Content-Type", otlpProto}, large, tooLarge, ""},
		"too large JSON":            {headers{"Content-Type", otlpJSON}, large, tooLarge, ""},
		"a gzip bomb":               {headers{"Content-Type", otlpProto, "Content-Encoding", "gzip"}, compress(t, "gzip", bomb), tooLarge, ""},
		"a zstd bomb":               {headers{"Content-Type", otlpJSON, "Content-Encoding", "zstd"}, compress(t, "zstd", bomb), tooLarge, ""},
		"a zstd bomb in disguise":   {headers{"Content-Type", otlpProto, "Content-Encoding", "zstd"}, zstdFrame(20, 8192), tooLarge, ""},
	} {
		t.Run("HTTP/"+name, func(t *testing.T) {
			r, s := newTable(t)
			addr := (&fixture{relay: r}).publicPort(t)
			if got := good.http(t, addr, row.headers.header(), row.body); got != row.want {
				t.Errorf("answer %q\nwant   %q", got, row.want)
			}
			if got := s.String(); got != row.stored {
				t.Errorf("stored %q", got)
			}
		})
	}
	for name, row := range map[string]struct {
		encoding string
		body     []byte
		want     string
	}{
		"too large":           {"", large, "ResourceExhausted "},
		"a gzip bomb":         {"gzip", compress(t, "gzip", bomb), "ResourceExhausted "},
		"a zstd bomb":         {"zstd", zstdFrame(20, 8192), "ResourceExhausted "},
		"not gzip":            {"gzip", good.proto, "Internal "},
		"not zstd":            {"zstd", good.proto, "Internal "},
		"an unknown encoding": {"br", good.proto, "Unimplemented "},
	} {
		t.Run("gRPC/"+name, func(t *testing.T) {
			r, s := newTable(t)
			f := &fixture{relay: r}
			for _, addr := range []string{f.grpcPort(t), f.publicPort(t)} {
				if got := good.grpc(t, addr, row.encoding, row.body); !strings.HasPrefix(got, row.want) { // the words are gRPC's own
					t.Errorf("answer %q, want %q", got, row.want)
				}
			}
			if got := s.String(); got != "" {
				t.Errorf("stored %q", got)
			}
		})
	}
}

func TestBombsOverHTTPTakeLittleMemory(t *testing.T) {
	r, _ := newTable(t)
	addr := (&fixture{relay: r}).publicPort(t)
	bombs := map[string]struct {
		encoding, want string
		body           []byte
	}{
		"1 GiB of zeros":      {"zstd", "413", zstdFrame(20, 8192)},
		"a window of 512 MiB": {"zstd", "413", zstdFrame(29, 8192)},
		"gzip":                {"gzip", "413", compress(t, "gzip", make([]byte, 64<<20))},
	}
	for name, bomb := range bombs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h := headers{"Content-Type", otlpProto, "Content-Encoding", bomb.encoding}
		if got := (export{signal: "traces"}).http(t, addr, h.header(), bomb.body); !strings.HasPrefix(got, bomb.want) {
			t.Errorf("%s: %s, want %s", name, got, bomb.want)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 24<<20 {
			t.Errorf("%s: took %d MiB", name, took>>20)
		}
	}
}
