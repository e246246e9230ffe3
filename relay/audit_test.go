package relay

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/metadata"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
)

// unsteady are the fields of a record that differ from run to run.
var unsteady = cmpopts.IgnoreFields(audit.Record{}, "Time", "Took", "Remote", "Identity")

func TestRecords(t *testing.T) {
	form := url.Values{"query": {`{a="b"}`}, "limit": {"7"}, "password": {"x"}}.Encode()
	tests := map[string]struct {
		method, target, token, body, contentType string

		want   audit.Record
		tenant string
	}{
		"a query": {
			"GET", `/loki/api/v1/query?query=%7Ba%3D%22b%22%7D&time=5&x=y`, "good", "", "",
			audit.Record{Method: "GET", Route: "/loki/api/v1/query", Status: 200, Out: 4, Query: []audit.Param{{Name: "query", Value: `{a="b"}`}, {Name: "time", Value: "5"}}}, "acme",
		},
		"a query in a form": {
			"POST", "/loki/api/v1/query", "good", form, "application/x-www-form-urlencoded; charset=utf-8",
			audit.Record{Method: "POST", Route: "/loki/api/v1/query", Status: 200, In: int64(len(form)), Out: 4, Query: []audit.Param{{Name: "query", Value: `{a="b"}`}, {Name: "limit", Value: "7"}}}, "acme",
		},
		"series": {
			"GET", "/loki/api/v1/series?match[]=%7Ba%3D1%7D&match[]=%7Bb%3D1%7D", "good", "", "",
			audit.Record{Method: "GET", Route: "/loki/api/v1/series", Status: 200, Out: 4, Query: []audit.Param{{Name: "match[]", Value: "{a=1}"}, {Name: "match[]", Value: "{b=1}"}}}, "acme",
		},
		"a trace": {
			"GET", "/api/traces/abc", "good", "", "",
			audit.Record{Method: "GET", Route: "/api/traces/{id}", Status: 200, Out: 5, Query: []audit.Param{{Name: "path", Value: "/api/traces/abc"}}}, "acme",
		},
		"no scope": {
			"GET", "/api/echo", "write", "", "",
			audit.Record{Method: "GET", Route: "/api/echo", Status: 403, Out: 38, Reason: "the token lacks the scope traces:read"}, "acme",
		},
		"no token": {
			"GET", "/api/search?q=secret", "", "", "",
			audit.Record{Method: "GET", Route: "/api/search", Status: 401, Out: 25, Reason: "a bearer token is needed: credential refused: missing"}, "",
		},
		"a forged token": {
			"GET", "/api/echo", "forged", "", "",
			audit.Record{Method: "GET", Route: "/api/echo", Status: 401, Out: 23, Reason: "the token is not valid: credential refused: bad signature"}, "",
		},
		"nowhere": {
			"GET", "/wp-login.php", "good", "", "",
			audit.Record{Method: "GET", Path: "/wp-login.php", Status: 404, Out: 22, Reason: "there is nothing here"}, "",
		},
		"a wrong method": {
			"DELETE", "/api/echo", "good", "", "",
			audit.Record{Method: "DELETE", Path: "/api/echo", Status: 405, Out: 31, Reason: "the method is not allowed here"}, "",
		},
		"an encoded token": {
			"GET", "/nowhere/%69nv_tok%5fid_secret%0a", "", "", "",
			audit.Record{Method: "GET", Path: "/nowhere/inv_tok_id_secret\n", Status: 404, Out: 22, Reason: "there is nothing here"}, "", // the log masks it
		},
		"a dot segment": {
			"GET", "/%2e%2e/flush", "good", "", "",
			audit.Record{Method: "GET", Path: "/%2e%2e/flush", Status: 400, Out: 27, Reason: "the path has a dot segment"}, "",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, log := newFixture(t), newRecorder()
			f.relay.opts.Audit, f.relay.opts.AuditQueries = log, always
			f.loki.before = readBody
			r := httptest.NewRequest(tt.method, tt.target, nil)
			if tt.body != "" {
				r = httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
				r.Header.Set("Content-Type", tt.contentType)
			}
			if tt.token != "" {
				r.Header.Set("Authorization", "Bearer "+tt.token)
			}
			f.do(r)
			tt.want.Host = "example.com"
			records := log.take()
			if diff := cmp.Diff([]audit.Record{tt.want}, records, unsteady, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
			if got := records[0].Identity.Tenant; got != tt.tenant || records[0].Remote == "" || records[0].Time.IsZero() {
				t.Errorf("tenant %q, remote %q, time %v", got, records[0].Remote, records[0].Time)
			}
		})
	}
}

func always() bool { return true }

// Without AuditQueries no text of a query is told.
func TestRecordsWithoutQueries(t *testing.T) {
	f, log := newFixture(t), newRecorder()
	f.relay.opts.Audit = log
	r := httptest.NewRequest(http.MethodGet, "/api/traces/abc?q=x", nil)
	r.Header.Set("Authorization", "Bearer good")
	f.do(r)
	if records := log.take(); len(records) != 1 || records[0].Query != nil {
		t.Errorf("%+v", records)
	}
}

// The queries of Grafana's gRPC streams are in messages.
func TestRecordsOfGRPCQueries(t *testing.T) {
	f, log := newFixture(t), newRecorder()
	f.relay.opts.Audit, f.relay.opts.AuditQueries = log, always
	f.tempo.before = readBody
	addr := f.publicPort(t)
	for method, message := range map[string]string{
		"Search":            "\x42\x07{ a=1 }", // field 8
		"SearchTagValuesV2": "\x12\x07{ a=1 }", // field 2
	} {
		rawCall{method: "/tempopb.StreamingQuerier/" + method, token: "good", message: []byte(message)}.send(t, addr)
		begin, end := log.next(t), log.next(t)
		if begin.Phase != audit.Begin || end.Phase != audit.End {
			t.Errorf("%s: phases %q and %q", method, begin.Phase, end.Phase)
		}
		if diff := cmp.Diff([]audit.Param{{Name: "query", Value: "{ a=1 }"}}, end.Query); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", method, diff)
		}
	}
}

// TestRecordsOfTheGRPCPort looks at calls that were let in and at those that weren't.
func TestRecordsOfTheGRPCPort(t *testing.T) {
	f, log := newFixture(t), newRecorder()
	f.relay.opts.Audit = log
	addr := f.grpcPort(t)
	client := f.logsClient(t, addr)
	export := func(token string) {
		ctx := t.Context()
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		}
		_, _ = client.Export(ctx, logsRequest("a line")) // what comes of it is in the record
	}
	export("good")
	got := log.next(t)
	if got.Identity.Tenant != "acme" || got.Route != exportLogs || got.Code != "OK" || got.In < 10 || got.Host == "" || got.Remote == "" || got.Reason != "" {
		t.Errorf("a call: %+v", got)
	}
	export("")
	if got = log.next(t); got.Code != "Unauthenticated" || !strings.Contains(got.Reason, "missing") || got.Identity.Tenant != "" {
		t.Errorf("no token: %+v", got)
	}
	export("read")
	if got = log.next(t); got.Code != "PermissionDenied" || got.Identity.Tenant != "acme" {
		t.Errorf("no scope: %+v", got)
	}
	f.logs.panics = true
	export("good")
	if got = log.next(t); got.Code != "Internal" {
		t.Errorf("a panic: %+v", got)
	}
	rawCall{method: exportTraces, token: "good", message: []byte("\xff\xff")}.send(t, addr)
	if got = log.next(t); got.Code != "InvalidArgument" || got.Identity.Tenant != "acme" {
		t.Errorf("a broken message: %+v", got)
	}
	rawCall{method: "/frontend.Frontend/Process", token: "good"}.send(t, addr)
	if got = log.next(t); got.Code != "Unimplemented" || got.Route != "" || got.Path != "/frontend.Frontend/Process" {
		t.Errorf("another method: %+v", got)
	}
	if left := log.take(); len(left) != 0 {
		t.Errorf("there is more: %+v", left)
	}
}

// Calls to the public port have one record, not one of each layer.
func TestRecordsOfExportsToThePublicPort(t *testing.T) {
	f, log := newFixture(t), newRecorder()
	f.relay.opts.Audit = log
	client := f.logsClient(t, f.publicPort(t))
	if _, err := client.Export(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer good"), logsRequest("a")); err != nil {
		t.Fatal(err)
	}
	if got := log.next(t); got.Code != "OK" || got.Status != 200 || got.In < 10 || got.Identity.Tenant != "acme" {
		t.Errorf("%+v", got)
	}
	if left := log.take(); len(left) != 0 {
		t.Errorf("there is more: %+v", left)
	}
}

// A handler that breaks off is told of as well.
func TestRecordsOfAnswersThatBreakOff(t *testing.T) {
	f, log := newFixture(t), newRecorder()
	f.relay.opts.Audit = log
	f.loki.respond = func(r *http.Request) (*http.Response, error) {
		body := io.MultiReader(strings.NewReader("half"), brokenReader{})
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(body), Request: r}, nil
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.publicPort(t)+"/loki/api/v1/query", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer good")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("the client takes half an answer for whole")
	}
	if got := log.next(t); got.Status != 200 || got.Out != 4 || got.Reason != "the answer was cut off" {
		t.Errorf("%+v", got)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// discard audits into nothing.
type discard struct{}

func (discard) Record(*audit.Record) {}

func BenchmarkAudited(b *testing.B) {
	log, err := audit.Open(audit.Options{File: audit.Stderr, Stderr: io.Discard, Log: nil, Registerer: nil})
	if err != nil {
		b.Fatal(err)
	}
	for name, auditor := range map[string]Auditor{"off": nil, "on": log, "record alone": discard{}} {
		b.Run(name, func(b *testing.B) {
			f := newFixture(b)
			f.relay.opts.Audit, f.relay.opts.AuditQueries = auditor, always
			f.relay.opts.Authenticator = fakeAuthenticator{"good": {Issuer: "invoscope", Tenant: "acme", Subject: "bench", Scopes: tenancy.Scopes()}}
			h := f.relay.Public()
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "/loki/api/v1/query?query={a=%22b%22}", nil)
				r.Header.Set("Authorization", "Bearer good")
				h.ServeHTTP(httptest.NewRecorder(), r)
				f.loki.seen = f.loki.seen[:0]
			}
		})
	}
}
