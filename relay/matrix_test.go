package relay

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
)

// forms are the ways to spell a path; only the plain one leads anywhere.
var forms = map[string]func(string) string{
	"plain":               func(p string) string { return p },
	"trailing slash":      func(p string) string { return p + "/" },
	"double slash":        func(p string) string { return "/" + p },
	"double slash within": func(p string) string { return replaceLast(p, "//") },
	"encoded slash":       encodeSlash,
	"upper case":          strings.ToUpper,
	"encoded letter":      func(p string) string { return fmt.Sprintf("/%%%02x%s", p[1], p[2:]) },
}

// encodeSlash encodes the slash behind a path's first segment, or one before that if it
// is the only one: those before a {name} could belong to it.
func encodeSlash(p string) string {
	if strings.Count(p, "/") == 1 {
		return "/%2F" + p[1:]
	}
	return "/" + strings.Replace(p[1:], "/", "%2F", 1)
}

// replaceLast replaces a path's last slash, or adds to it if that is its first.
func replaceLast(path, with string) string {
	i := strings.LastIndexByte(path, '/')
	if i == 0 {
		return "/" + with + path[1:]
	}
	return path[:i] + with + path[i+1:]
}

// asked counts what reached an engine or a queue.
func (f *fixture) asked() map[string]int {
	counts := map[string]int{}
	for _, e := range []*fakeEngine{&f.loki, &f.tempo} {
		e.mu.Lock()
		counts[e.name] = len(e.seen)
		e.mu.Unlock()
	}
	for name, m := range map[string]*memory{"logs": &f.logs, "traces": &f.traces} {
		m.mu.Lock()
		for _, n := range m.kept {
			counts[name] += n
		}
		m.mu.Unlock()
	}
	return counts
}

// cell is one request of the matrix.
type cell struct {
	route      Route
	method     string
	form       string
	credential credential
	proto      string
}

// answer is what a client sees.
type answer struct {
	outcome string
	body    string
	header  http.Header
}

// ask sends the cell's request.
func (c cell) ask(t *testing.T, client *http.Client, addr string) answer {
	t.Helper()
	model := request(c.route, c.method, "")
	path := forms[c.form](strings.NewReplacer("{name}", "level", "{id}", someInvocation).Replace(c.route.Pattern))
	body := c.body()
	req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+addr+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header, req.Host = model.Header, c.credential.host
	if c.credential.header != "" {
		req.Header.Set("Authorization", c.credential.header)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range resp.Trailer {
		resp.Header[name] = values
	}
	return answer{outcome(resp), string(text), resp.Header}
}

// someInvocation is an id that could be an invocation's, and a trace's to our table.
const someInvocation = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"

// body is a request's body with one log line or span in it, where such is sent.
func (c cell) body() io.Reader {
	logs, traces := logsRequest("a line"), ptrace.NewTraces()
	span := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetTraceID(pcommon.TraceID{1})
	span.SetSpanID(pcommon.SpanID{1})
	spans := ptraceotlp.NewExportRequestFromTraces(traces)
	encode := func(marshal func() ([]byte, error)) []byte {
		text, err := marshal()
		if err != nil {
			panic(err)
		}
		return text
	}
	writesLogs := c.route.Scope == tenancy.LogsWrite
	switch {
	case c.method == http.MethodGet:
		return nil
	case c.route.Shape == fault.GRPC && writesLogs:
		return bytes.NewReader(frame(encode(logs.MarshalProto)))
	case c.route.Shape == fault.GRPC && c.route.Scope == tenancy.TracesWrite:
		return bytes.NewReader(frame(encode(spans.MarshalProto)))
	case c.route.Shape == fault.GRPC:
		return bytes.NewReader(frame(nil))
	case c.route.Shape == fault.OTLP && writesLogs:
		return bytes.NewReader(encode(logs.MarshalJSON))
	case c.route.Shape == fault.OTLP:
		return bytes.NewReader(encode(spans.MarshalJSON))
	case writesLogs:
		return strings.NewReader(fmt.Sprintf(`{"streams":[{"stream":{"a":"b"},"values":[["%d","a line"]]}]}`, time.Now().UnixNano()))
	}
	return strings.NewReader("{}")
}

// want is the outcome that is expected of the cell.
func (c cell) want(e expected) string {
	switch {
	case c.form != "plain":
		return elsewhere
	case c.proto == "HTTP/1.1" && e.http1 != "":
		return e.http1
	}
	return c.credential.want(e)
}

// TestMatrix asks every route with every credential, over every protocol, by paths in
// every form, and compares with the table in matrix_expected_test.go.
func TestMatrix(t *testing.T) {
	f, log, m := newTenants(t)
	addr := f.publicPort(t)
	http1 := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(http1.CloseIdleConnections)
	http2 := h2c(t)
	http2.CheckRedirect = http1.CheckRedirect
	table := expectations()
	for _, route := range Routes() {
		for method := range strings.FieldsSeq(route.Methods) {
			key := method + " " + route.Pattern
			e, ok := table[key]
			if !ok {
				t.Errorf("nothing is expected of %s: add it to expectations", key)
				continue
			}
			delete(table, key)
			t.Run(key, func(t *testing.T) {
				creds := m.credentials(route.Scope)
				for proto, client := range map[string]*http.Client{"HTTP/1.1": http1, "HTTP/2": http2} {
					for form := range forms {
						for name, cred := range creds {
							c := cell{route, method, form, cred, proto}
							before := f.asked()
							got := c.ask(t, client, addr)
							checkCell(t, fmt.Sprintf("%s, %s, %s", name, form, proto), c, e, got)
							checkReached(t, f, before, c, e)
							checkRecords(t, log.take(), c, got)
						}
					}
				}
			})
		}
	}
	for key := range table {
		t.Errorf("%s is expected and isn't there", key)
	}
}

// checkCell looks at the answer.
func checkCell(t *testing.T, name string, c cell, e expected, got answer) {
	t.Helper()
	if want := c.want(e); got.outcome != want {
		t.Errorf("%s: %s, want %s (%q)", name, got.outcome, want, got.body)
	}
	unauthorized := got.outcome == "401" || got.outcome == "grpc 16"
	if challenge := got.header.Get("WWW-Authenticate"); (challenge != "") != unauthorized {
		t.Errorf("%s: %s with WWW-Authenticate %q", name, got.outcome, challenge)
	}
	if got.header.Get("Location") != "" {
		t.Errorf("%s: a redirect to %s", name, got.header.Get("Location"))
	}
	if got.outcome == e.valid || e.unknown == e.valid {
		return
	}
	told := got.body + got.header.Get("Grpc-Message")
	for _, reason := range []string{"expired", "issuer", "audience", "revoked", "signature", "algorithm", "host", "jwt", "credential", "acme", "globex"} {
		if strings.Contains(strings.ToLower(told), reason) {
			t.Errorf("%s: the client learns %q", name, told)
		}
	}
}

// checkReached looks at who was asked.
func checkReached(t *testing.T, f *fixture, before map[string]int, c cell, e expected) {
	t.Helper()
	credential := c.credential.name
	after := f.asked()
	let := credential == "valid" && c.form == "plain" && (c.proto != "HTTP/1.1" || e.http1 == "")
	if let && e.reaches != "" {
		before[e.reaches]++
	}
	if !maps.Equal(before, after) {
		t.Errorf("%s, %s, %s: asked %v, want %v", credential, c.form, c.proto, after, before)
	}
}

// checkRecords looks at what the audit log was told: of everything but open routes.
func checkRecords(t *testing.T, records []audit.Record, c cell, got answer) {
	t.Helper()
	credential := c.credential.name
	name := fmt.Sprintf("%s, %s, %s", credential, c.form, c.proto)
	if c.route.Scope == "" && c.form == "plain" {
		if len(records) != 0 {
			t.Errorf("%s: an open route was audited", name)
		}
		return
	}
	if len(records) == 0 {
		t.Errorf("%s: nothing was audited", name)
		return
	}
	last := records[len(records)-1]
	if last.Phase == audit.Begin || len(records) > 2 {
		t.Errorf("%s: audited as %+v", name, records)
	}
	if matched := c.form == "plain"; (last.Route == c.route.Pattern) != matched || (last.Path == "") != matched {
		t.Errorf("%s: route %q, path %q", name, last.Route, last.Path)
	}
	if refused := got.outcome != "200" && got.outcome != "204" && got.outcome != "grpc 0"; refused != (last.Reason != "") {
		t.Errorf("%s: %s because of %q", name, got.outcome, last.Reason)
	}
	vouched := slices.Contains([]string{"valid", "missing scope", "revoked", "other host"}, credential)
	known := c.form == "plain" && (c.proto == "HTTP/2" || c.route.Shape != fault.GRPC) && vouched
	if (last.Identity.Tenant == "acme") != known {
		t.Errorf("%s: audited as of %q", name, last.Identity.Tenant)
	}
}
