package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/ingest"
	"github.com/invoscope/invoscope/relay/queue"
	"github.com/invoscope/invoscope/tenancy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeEngine answers with what it was asked.
type fakeEngine struct {
	name string
	err  error
	// before, when there is one, runs before a request is answered.
	before func(*http.Request) error
	// respond, when there is one, answers instead.
	respond func(*http.Request) (*http.Response, error)

	asked atomic.Int64 // for readiness

	mu   sync.Mutex
	seen []*http.Request
}

func (e *fakeEngine) RoundTrip(r *http.Request) (*http.Response, error) {
	if e.err != nil {
		return nil, e.err
	}
	e.mu.Lock()
	e.seen = append(e.seen, r)
	e.mu.Unlock()
	if e.before != nil {
		if err := e.before(r); err != nil {
			return nil, err
		}
	}
	if e.respond != nil {
		return e.respond(r)
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"X-Engine": {e.name}},
		Body: io.NopCloser(strings.NewReader(e.name)), Request: r,
	}, nil
}

func (e *fakeEngine) Push(context.Context, string, []byte) error { return e.err }

func (e *fakeEngine) Ready(context.Context) error {
	e.asked.Add(1)
	return e.err
}

func (e *fakeEngine) last() *http.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.seen) == 0 {
		return nil
	}
	return e.seen[len(e.seen)-1]
}

// fakeAuthenticator knows tokens by name.
type fakeAuthenticator map[string]tenancy.Identity

func (a fakeAuthenticator) Authenticate(c tenancy.Caller) (tenancy.Identity, error) {
	token, err := tenancy.TokenFromAuthorization(c.Authorization)
	if err != nil {
		return tenancy.Identity{}, err
	}
	if id, ok := a[token]; ok {
		return id, nil
	}
	return tenancy.Identity{}, &tenancy.Error{Reason: tenancy.BadSignature}
}

func (fakeAuthenticator) Hold(ctx context.Context, _ tenancy.Identity) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

// memory keeps what was appended.
type memory struct {
	mu     sync.Mutex
	kept   map[string]int // tenant → requests
	panics bool
}

func (m *memory) Append(_ context.Context, tenant string, _ queue.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.panics {
		panic("a bug")
	}
	if m.kept == nil {
		m.kept = map[string]int{}
	}
	m.kept[tenant]++
	return nil
}

// noIndex knows nothing.
type noIndex struct{}

func (noIndex) Get(context.Context, string, correlate.InvocationID) (index.Record, error) {
	return index.Record{}, index.ErrNotFound
}

func (noIndex) Relations(context.Context, string, *index.Record, int) (index.Relations, error) {
	return index.Relations{}, nil
}

func (noIndex) Since(context.Context, string) (int64, error) { return 0, nil }

func (noIndex) List(context.Context, string, index.Query) (index.Page, error) {
	return index.Page{}, nil
}

type fixture struct {
	loki, tempo  fakeEngine
	logs, traces memory
	relay        *Relay
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{}
	f.loki.name, f.tempo.name = "loki", "tempo"
	in, err := ingest.New(ingest.Options{
		Logs: &f.logs, Traces: &f.traces, TenantKey: "tenant", MaxBytes: 1 << 20, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	every := tenancy.Scopes()
	f.relay = New(Options{
		Loki: &f.loki, Tempo: &f.tempo, Ingest: in, MaxBytes: 1 << 20,
		Authenticator: fakeAuthenticator{
			"good":  {Tenant: "acme", Scopes: every},
			"other": {Tenant: "globex", Scopes: every},
			"none":  {Tenant: "acme"},
			"read":  {Tenant: "acme", Scopes: []tenancy.Scope{tenancy.LogsRead, tenancy.TracesRead}},
			"write": {Tenant: "acme", Scopes: []tenancy.Scope{tenancy.LogsWrite, tenancy.TracesWrite}},
		},
		Index: noIndex{}, TenantKey: "tenant",
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	return f
}

func (f *fixture) do(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	f.relay.Public().ServeHTTP(w, r)
	return w.Result()
}

// request is a well-formed request to a route, for as far as its protocol goes.
func request(route Route, method, token string) *http.Request {
	path := strings.NewReplacer("{name}", "level", "{id}", "0123456789abcdef").Replace(route.Pattern)
	r := httptest.NewRequest(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	switch route.Shape {
	case fault.GRPC:
		r.ProtoMajor, r.ProtoMinor, r.Proto = 2, 0, "HTTP/2.0"
		r.Header.Set("Content-Type", "application/grpc")
	case fault.OTLP:
		r.Header.Set("Content-Type", "application/json")
		r.Body = io.NopCloser(strings.NewReader("{}"))
	case fault.Plain:
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/json")
			r.Body = io.NopCloser(strings.NewReader(`{"streams":[{"stream":{"a":"b"},"values":[]}]}`))
		}
	}
	return r
}

// outcome is what a client makes of an answer: the gRPC status where there is
// one.
func outcome(resp *http.Response) string {
	if s := resp.Header.Get("Grpc-Status"); s != "" {
		return "grpc " + s
	}
	return fmt.Sprint(resp.StatusCode)
}

// TestEveryRouteNeedsItsToken asks every route with every kind of token.
func TestEveryRouteNeedsItsToken(t *testing.T) {
	for _, route := range Routes() {
		denied := map[string]string{"": "401", "forged": "401", "none": "403"}
		if route.Scope == tenancy.LogsRead || route.Scope == tenancy.TracesRead {
			denied["write"] = "403"
		} else {
			denied["read"] = "403"
		}
		if route.Shape == fault.GRPC {
			for token, status := range denied {
				denied[token] = map[string]string{"401": "grpc 16", "403": "grpc 7"}[status]
			}
		}
		for method := range strings.FieldsSeq(route.Methods) {
			t.Run(method+" "+route.Pattern, func(t *testing.T) {
				f := newFixture(t)
				if route.Scope == "" {
					if got := outcome(f.do(request(route, method, ""))); got != "200" {
						t.Errorf("an open route answers %s without a token", got)
					}
					return
				}
				for token, want := range denied {
					if got := outcome(f.do(request(route, method, token))); got != want {
						t.Errorf("token %q: %s, want %s", token, got, want)
					}
				}
				if f.loki.last() != nil || f.tempo.last() != nil {
					t.Error("an engine was asked")
				}
				if got := outcome(f.do(request(route, method, "good"))); got == denied[""] || got == denied["none"] {
					t.Errorf("a good token: %s", got)
				}
			})
		}
	}
}

func TestWhatIsNotInTheTableIsDenied(t *testing.T) {
	paths := []string{
		"/config", "/services", "/log_level", "/ring", "/flush", "/ingester/shutdown", "/distributor/ring", "/memberlist",
		"/metrics", "/debug/pprof/", "/loki/api/v1/delete", "/loki/api/v1/rules", "/status/config", "/shutdown",
		"/usage_metrics", "/querier/api/search", "/api/overrides", "/loki/api/v1/query/x", "/otlp/v1/metrics", "/v1/metrics",
	}
	for _, path := range paths {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			f := newFixture(t)
			r := httptest.NewRequest(method, path, nil)
			r.Header.Set("Authorization", "Bearer good")
			if resp := f.do(r); resp.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %d", method, path, resp.StatusCode)
			}
			if f.loki.last() != nil || f.tempo.last() != nil {
				t.Errorf("%s %s reached an engine", method, path)
			}
		}
	}
}

func TestDotSegmentsAreRefused(t *testing.T) {
	for _, path := range []string{
		"/loki/api/v1/label/..%2f..%2f..%2f..%2fflush/values", "/api/traces/%2e%2e", "/api/search/tag/%2e/values",
	} {
		f := newFixture(t)
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer good")
		if resp := f.do(r); resp.StatusCode != http.StatusBadRequest || f.loki.last() != nil || f.tempo.last() != nil {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// The engine hears of the token's tenant only, whatever else a client sends.
func TestTenantComesFromTheTokenAlone(t *testing.T) {
	for name, set := range map[string]func(http.Header){
		"as it is":         func(h http.Header) { h.Set("X-Scope-OrgID", "globex") },
		"in another case":  func(h http.Header) { h["x-sCOPE-orgid"] = []string{"globex"} },
		"twice":            func(h http.Header) { h["X-Scope-Orgid"] = []string{"globex", "initech"} },
		"as a hop-by-hop":  func(h http.Header) { h.Set("X-Scope-OrgID", "globex"); h.Set("Connection", "X-Scope-OrgID") },
		"federation":       func(h http.Header) { h.Set("X-Scope-OrgID", "acme|globex") },
		"nothing":          func(http.Header) {},
		"a cookie besides": func(h http.Header) { h.Set("Cookie", "tenant=globex") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			server := httptest.NewServer(f.relay.Public()) // what comes over a wire is what matters
			defer server.Close()
			r, err := http.NewRequest(http.MethodGet, server.URL+"/loki/api/v1/query?query={a=%22b%22}&x=1", nil)
			if err != nil {
				t.Fatal(err)
			}
			set(r.Header)
			r.Header.Set("Authorization", "Bearer good")
			resp, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d, %v", resp.StatusCode, err)
			}
			got := f.loki.last()
			var tenants []string
			for key, values := range got.Header {
				if strings.EqualFold(key, "X-Scope-OrgID") {
					tenants = append(tenants, values...)
				}
			}
			if len(tenants) != 1 || tenants[0] != "acme" {
				t.Errorf("the engine was told %q", tenants)
			}
			if got.Header.Get("Authorization") != "" || got.Header.Get("Cookie") != "" {
				t.Error("credentials reached the engine")
			}
			if got.URL.RawQuery != "query={a=%22b%22}&x=1" {
				t.Errorf("the query became %q", got.URL.RawQuery)
			}
		})
	}
}

func TestPathsAreRelayedAsTheyAre(t *testing.T) {
	f := newFixture(t)
	path := "/api/v2/search/tag/span.http%252Froute/values"
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer good")
	f.do(r)
	if got := f.tempo.last().URL.EscapedPath(); got != path {
		t.Errorf("the engine was asked for %s", got)
	}
}

func TestBasicCarriesTheTokenAsPassword(t *testing.T) {
	f := newFixture(t)
	r := httptest.NewRequest(http.MethodGet, "/api/echo", nil)
	r.SetBasicAuth("anybody", "good")
	if resp := f.do(r); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestEngineThatIsAway(t *testing.T) {
	f := newFixture(t)
	f.loki.err = fmt.Errorf("loki: %w", engine.ErrUnavailable)
	f.tempo.err = errors.New("secret detail")
	for _, route := range []Route{{Pattern: "/loki/api/v1/query"}, {Pattern: "/api/search"}, {Pattern: "/ready"}} {
		resp := f.do(request(route, http.MethodGet, "good"))
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || strings.Contains(string(body), "secret") {
			t.Errorf("%s: %d %q", route.Pattern, resp.StatusCode, body)
		}
	}
	resp := f.do(request(Route{Pattern: "/tempopb.StreamingQuerier/Search", Shape: fault.GRPC}, http.MethodPost, "good"))
	if got := outcome(resp); got != "grpc 14" {
		t.Errorf("gRPC: %s", got)
	}
}

func TestPlainHTTPDoesNotReachGRPCMethods(t *testing.T) {
	f := newFixture(t)
	r := httptest.NewRequest(http.MethodPost, "/tempopb.StreamingQuerier/Search", nil)
	r.Header.Set("Authorization", "Bearer good")
	f.do(r)
	if f.tempo.last() != nil {
		t.Error("the engine was asked")
	}
}

func TestUnauthorizedAnswersNameTheScheme(t *testing.T) {
	f := newFixture(t)
	resp := f.do(httptest.NewRequest(http.MethodGet, "/loki/api/v1/labels", nil))
	if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func BenchmarkRelay(b *testing.B) {
	f := newFixture(b)
	h := f.relay.Public()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodGet, "/loki/api/v1/query?query={a=%22b%22}", nil)
		r.Header.Set("Authorization", "Bearer good")
		h.ServeHTTP(httptest.NewRecorder(), r)
		f.loki.seen = f.loki.seen[:0]
	}
}
