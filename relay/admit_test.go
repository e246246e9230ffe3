package relay

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafana/tempo/pkg/tempopb"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/invoscope/invoscope/relay/ingest"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/limits"
)

// roster is the tenants that there are; it counts who was seen.
type roster struct {
	all  []string
	seen []string
}

func (r *roster) Tenants() []string { return r.all }

func (r *roster) Seen(tenant string) error {
	r.seen = append(r.seen, tenant)
	return nil
}

// limitedFixture returns a fixture whose relay has other options: tokens of several tenants, a
// roster, and the limits of a set.
func limitedFixture(t testing.TB, set limits.Set, change func(*Options)) (*fixture, *roster) {
	t.Helper()
	f, known := newFixture(t), &roster{all: []string{"acme", "globex", "initech"}}
	o := f.relay.opts
	o.Registerer, o.Roster = prometheus.NewRegistry(), known
	o.Limits = limits.New(set, limits.Options{Registerer: o.Registerer})
	var err error
	if o.Ingest, err = ingest.New(ingest.Options{
		Logs: &f.logs, Traces: &f.traces, TenantKey: "tenant", MaxBytes: 1 << 20, Registerer: o.Registerer, Limits: IngestLimits(o.Limits),
	}); err != nil {
		t.Fatal(err)
	}
	every := tenancy.Scopes()
	o.Authenticator = fakeAuthenticator{
		"good":    {Tenant: "acme", Scopes: every},
		"other":   {Tenant: "globex", Scopes: every},
		"several": {Reads: []string{"globex", "acme", "globex"}, Scopes: every},
		"both":    {Tenant: "initech", Reads: []string{"acme", "initech"}, Scopes: every},
		"all":     {ReadsAll: true, Scopes: every},
		"nobody":  {Scopes: every},
		"forged":  {Tenant: "acme|globex", Scopes: every},
		"forged2": {Reads: []string{"acme", "globex|initech"}, Scopes: every},
	}
	if change != nil {
		change(&o)
	}
	f.relay = New(o)
	return f, known
}

// ask makes a request with a token and returns the status and the body of its answer.
func (f *fixture) ask(method, target, token string, body string, set ...string) (*http.Response, string) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(set); i += 2 {
		r.Header.Set(set[i], set[i+1])
	}
	resp := f.do(r)
	b, _ := io.ReadAll(resp.Body) // a recorder's
	return resp, string(b)
}

func TestQueriesAreRefusedOverTheirRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := limitedFixture(t, limits.Set{Defaults: limits.Limits{QueriesPerSecond: 2}, Tenants: map[string]limits.Limits{"globex": {}}}, nil)
		for _, target := range []string{"/loki/api/v1/labels", "/api/search?q=%7B%7D"} {
			if resp, body := f.ask("GET", target, "good", ""); resp.StatusCode != http.StatusOK {
				t.Fatal(resp.Status, body)
			}
		}
		resp, body := f.ask("GET", "/loki/api/v1/query_range", "good", "")
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" || body != "the tenant's limit is reached: 2 queries per second\n" {
			t.Errorf("%s %v %q", resp.Status, resp.Header, body)
		}
		resp, body = f.ask("GET", "/api/invoscope/v1/invocations", "good", "")
		if resp.StatusCode != http.StatusTooManyRequests || body != `{"error":"the tenant's limit is reached: 2 queries per second","status":429}`+"\n" {
			t.Errorf("%s %q", resp.Status, body)
		}
		for _, free := range []string{"/api/echo", "/loki/api/v1/status/buildinfo", "/loki/api/v1/format_query?query=a", "/api/invoscope/v1/openapi.yaml", "/ready"} {
			if resp, body := f.ask("GET", free, "good", ""); resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %s %s", free, resp.Status, body)
			}
		}
		if resp, _ := f.ask("GET", "/loki/api/v1/labels", "other", ""); resp.StatusCode != http.StatusOK {
			t.Error("another tenant was refused")
		}
		<-time.After(500 * time.Millisecond)
		if resp, _ := f.ask("GET", "/loki/api/v1/labels", "good", ""); resp.StatusCode != http.StatusOK {
			t.Error("refused with room for one")
		}
	})
}

// A client of the streaming API is told what an exporter is.
func TestCallsAreRefusedOverTheirRate(t *testing.T) {
	f, _ := limitedFixture(t, limits.Set{Defaults: limits.Limits{QueriesPerSecond: 1}}, func(o *Options) { o.Index = nil })
	if _, err := f.relay.limits.Query("acme"); err != nil {
		t.Fatal(err)
	}
	client := tempopb.NewStreamingQuerierClient(dialGRPC(t, f.publicPort(t)))
	call, err := client.Search(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer good"), &tempopb.SearchRequest{Query: "{}"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = call.Recv()
	s := status.Convert(err)
	if s.Code() != codes.ResourceExhausted || s.Message() != "the tenant's limit is reached: 1 queries per second" || len(s.Details()) != 1 {
		t.Fatalf("%v %v", err, s.Details())
	}
	if info, ok := s.Details()[0].(*errdetails.RetryInfo); !ok || info.GetRetryDelay().AsDuration() <= 0 || info.GetRetryDelay().AsDuration() > time.Second {
		t.Errorf("%v", s.Details())
	}
}

func dialGRPC(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the test is over
	return conn
}

// A query counts for as long as it is answered, and a tail until it ends; the two
// count apart.
func TestQueriesAndTailsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := limitedFixture(t, limits.Set{Defaults: limits.Limits{MaxConcurrentQueries: 1, MaxTails: 1}}, nil)
		goOn := make(chan struct{})
		f.loki.before = func(*http.Request) error { <-goOn; return nil }
		f.tempo.before = f.loki.before
		for name, c := range map[string]struct{ first, second, limit string }{
			"queries":   {"/loki/api/v1/labels", "/api/search?q=%7B%7D", "1 concurrent queries"},
			"tails":     {tailPath, tailPath, "1 tails at a time"},
			"followers": {tailPath, "/api/invoscope/v1/invocations/" + knownID + "/timeline?follow=true", "1 tails at a time"},
		} {
			answered := make(chan int)
			go func() {
				resp, _ := f.ask("GET", c.first, "good", "")
				answered <- resp.StatusCode
			}()
			synctest.Wait()
			resp, body := f.ask("GET", c.second, "good", "")
			if resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, c.limit) || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s: %s %q", name, resp.Status, body)
			}
			resp, body = f.ask("GET", "/api/invoscope/v1/invocations/"+knownID+"/timeline?follow=false", "good", "")
			if want := map[bool]int{true: http.StatusTooManyRequests, false: http.StatusNotFound}[name == "queries"]; resp.StatusCode != want {
				t.Errorf("%s: a timeline that isn't followed: %s %q", name, resp.Status, body)
			}
			goOn <- struct{}{}
			if got := <-answered; got != http.StatusOK {
				t.Errorf("%s: %d", name, got)
			}
		}
		close(goOn)
		if resp, body := f.ask("GET", "/loki/api/v1/labels", "good", ""); resp.StatusCode != http.StatusOK {
			t.Error(resp.Status, body)
		}
	})
}

// A query that fails, or whose client goes away, doesn't count on.
func TestWhatEndsCountsNoMore(t *testing.T) {
	f, _ := limitedFixture(t, limits.Set{Defaults: limits.Limits{MaxConcurrentQueries: 1}}, nil)
	f.loki.before = func(*http.Request) error { return context.Canceled }
	for range 3 {
		if resp, body := f.ask("GET", "/loki/api/v1/labels", "good", ""); resp.StatusCode != http.StatusServiceUnavailable {
			t.Error(resp.Status, body)
		}
	}
}

// The other ways in are tested in relay/ingest, which these end in.
func TestIngestIsRefusedOverItsRate(t *testing.T) {
	f, known := limitedFixture(t, limits.Set{Defaults: limits.Limits{IngestBytesPerSecond: 1, IngestBurstBytes: 1 << 20, MaxRequestBytes: 1 << 10}}, nil)
	body := []byte(`{"streams":[{"stream":{"a":"b"},"values":[["1","` + strings.Repeat("x", 900) + `"]]}]}`)
	push := func(body string) (*http.Response, string) {
		return f.ask("POST", "/loki/api/v1/push", "good", body, "Content-Type", "application/json")
	}
	if resp, text := push(string(body)); resp.StatusCode != http.StatusNoContent || len(known.seen) != 1 || known.seen[0] != "acme" {
		t.Error(resp.Status, text, known.seen)
	}
	if resp, text := push(string(body) + strings.Repeat(" ", 200)); resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(text, "1024 bytes") {
		t.Error(resp.Status, text)
	}
	if err := f.relay.limits.Ingest("acme", 1<<20-2000, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, _ = push(string(body))
	}
	resp, text := push(string(body))
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" || text != "the tenant's limit is reached: 1 bytes per second\n" {
		t.Errorf("%s %v %q", resp.Status, resp.Header, text)
	}
	if _, text := f.ask("POST", "/v1/logs", "good", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"`+strings.Repeat("x", 900)+`"}}]}]}]}`, "Content-Type", "application/json"); !strings.Contains(text, `"retryDelay"`) {
		t.Errorf("OTLP over HTTP: %q", text)
	}
	for _, addr := range []string{f.publicPort(t), f.grpcPort(t)} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer good")
		_, err := f.logsClient(t, addr).Export(ctx, logsRequest(strings.Repeat("x", 900)))
		s := status.Convert(err)
		if s.Code() != codes.ResourceExhausted || len(s.Details()) != 1 {
			t.Fatalf("gRPC: %v %v", err, s.Details())
		}
		if info, ok := s.Details()[0].(*errdetails.RetryInfo); !ok || info.GetRetryDelay().AsDuration() <= time.Minute {
			t.Errorf("gRPC: %v", s.Details())
		}
		_, err = f.logsClient(t, addr).Export(ctx, logsRequest(strings.Repeat("x", 1100)))
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "1024 bytes") {
			t.Errorf("gRPC, too large: %v", err)
		}
	}
}

// Whoever names no tenant writes nothing, wherever it tries.
func TestWritingNeedsATenant(t *testing.T) {
	f, known := limitedFixture(t, limits.Set{}, nil)
	for _, token := range []string{"several", "all", "nobody", "forged"} {
		for _, route := range Routes() {
			if !route.Scope.Writes() || route.serve == nil || strings.Contains(route.Pattern, "opentelemetry.proto") {
				continue
			}
			resp, body := f.ask("POST", route.Pattern, token, "{}", "Content-Type", "application/json")
			if resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "the token names") {
				t.Errorf("%s to %s: %s %q", token, route.Pattern, resp.Status, body)
			}
		}
		if resp, body := f.ask("POST", "/api/invoscope/v1/index/rebuild", token, ""); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: rebuild: %s %s", token, resp.Status, body)
		}
		for _, addr := range []string{f.publicPort(t), f.grpcPort(t)} {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
			if _, err := f.logsClient(t, addr).Export(ctx, plogotlp.NewExportRequest()); status.Code(err) != codes.PermissionDenied {
				t.Errorf("%s: gRPC: %v", token, err)
			}
		}
	}
	if len(f.logs.kept)+len(f.traces.kept)+len(known.seen) > 0 {
		t.Errorf("%v %v %v", f.logs.kept, f.traces.kept, known.seen)
	}
	if resp, body := f.ask("POST", "/loki/api/v1/push", "both", `{"streams":[{"stream":{"a":"b"},"values":[["1","x"]]}]}`, "Content-Type", "application/json"); resp.StatusCode != http.StatusNoContent || f.logs.kept["initech"] != 1 {
		t.Error("one who reads several and writes one:", resp.Status, body, f.logs.kept)
	}
}

// A tenant over its limits, which comes back as often as it likes, doesn't fill the log.
func TestTheLogIsQuietAboutLimits(t *testing.T) {
	var out bytes.Buffer
	f, _ := limitedFixture(t, limits.Set{Tenants: map[string]limits.Limits{"acme": {MaxConcurrentQueries: 1, QueriesPerSecond: 1}}}, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&out, nil))
	})
	for _, tt := range []struct {
		token        string
		status, told int
	}{
		{"good", http.StatusOK, 0},
		{"good", http.StatusTooManyRequests, 0},
		{"forged", http.StatusForbidden, 1},
	} {
		if resp, body := f.ask("GET", "/loki/api/v1/labels", tt.token, ""); resp.StatusCode != tt.status {
			t.Errorf("%s: %s %s", tt.token, resp.Status, body)
		}
		if told := strings.Count(out.String(), "request refused"); told != tt.told {
			t.Errorf("after %d: %s", tt.status, out.String())
		}
	}
}
