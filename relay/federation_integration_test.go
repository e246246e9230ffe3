//go:build integration

package relay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/engine/enginetest"
	"github.com/invoscope/invoscope/tenancy"
)

// pair is a relay in front of a real Loki and a real Tempo that hold a line and a
// trace of each of two tenants.
type pair struct {
	loki, tempo *engine.Embedded
	addr        string // of the relay
	begun       time.Time
}

// fakeRoster is the tenants that there are.
type fakeRoster []string

func (f fakeRoster) Tenants() []string { return f }
func (fakeRoster) Seen(string) error   { return nil }

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{begun: time.Now().Add(-time.Minute)}
	p.loki, p.tempo = p.start(t, engine.NewLoki, "loki"), p.start(t, engine.NewTempo, "tempo")
	for _, e := range []*engine.Embedded{p.loki, p.tempo} {
		wait, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		defer stop()
		if err := engine.WaitReady(wait, e); err != nil {
			t.Fatal(err)
		}
	}
	reads := []tenancy.Scope{tenancy.LogsRead, tenancy.TracesRead}
	opts := newFixture(t).relay.opts
	opts.Loki, opts.Tempo, opts.Registerer = p.loki, p.tempo, prometheus.NewRegistry()
	opts.Roster = fakeRoster{"a", "b"}
	opts.Authenticator = fakeAuthenticator{
		"both": {Reads: []string{"b", "a"}, Scopes: reads},
		"all":  {Tenant: "a", ReadsAll: true, Scopes: reads},
		"a":    {Tenant: "a", Scopes: reads},
		"b":    {Reads: []string{"b"}, Scopes: reads},
	}
	p.addr = (&fixture{relay: New(opts)}).publicPort(t)
	for _, tenant := range []string{"a", "b"} {
		p.push(t, p.loki, tenant, enginetest.LogRequest(t, time.Now(), nameOf(tenant)))
		p.push(t, p.tempo, tenant, enginetest.TraceRequest(t, time.Now(), nameOf(tenant)))
	}
	return p
}

func nameOf(tenant string) string { return "record-of-" + tenant }

func (p *pair) start(t *testing.T, maker func(engine.EmbeddedOptions) *engine.Embedded, name string) *engine.Embedded {
	t.Helper()
	dir, err := os.MkdirTemp("", "pair") // see newSite
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, err := filepath.Abs(filepath.Join("..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	e := maker(engine.EmbeddedOptions{Binary: binary, DataDir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

func (p *pair) push(t *testing.T, e engine.Engine, tenant string, body []byte) {
	t.Helper()
	if err := e.Push(t.Context(), tenant, body); err != nil {
		t.Fatal(err)
	}
}

// get asks the relay with a token.
func (p *pair) get(ctx context.Context, token, target string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+target, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if strings.HasPrefix(target, tailPath) {
		for key, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
		} {
			req.Header.Set(key, value)
		}
	}
	req.Header.Set("X-Scope-OrgID", "a|b") // nobody is asked for who isn't the token's
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// query is the target of a query of Loki for the time of the test.
func (p *pair) query(path string, pairs ...string) string {
	v := url.Values{"start": {fmt.Sprint(p.begun.UnixNano())}, "end": {fmt.Sprint(time.Now().Add(time.Minute).UnixNano())}}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return "/loki/api/v1/" + path + "?" + v.Encode()
}

// search is the same for Tempo.
func (p *pair) search(path string, pairs ...string) string {
	v := url.Values{"start": {fmt.Sprint(p.begun.Unix())}, "end": {fmt.Sprint(time.Now().Add(time.Minute).Unix())}}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return "/api/" + path + "?" + v.Encode()
}

func traceOf(tenant string) string {
	sum := sha256.Sum256([]byte(nameOf(tenant)))
	return hex.EncodeToString(sum[:16])
}

const ofLogs, ofSpans = `{app="enginetest"}`, `{ resource.service.name = "enginetest" }`

// federating are the endpoints that answer for several tenants at once, with what
// shows the tenant's part in the answer.
func (p *pair) federating() map[string]struct {
	target func() string
	shows  func(tenant string) string
} {
	type row = struct {
		target func() string
		shows  func(tenant string) string
	}
	line := func(tenant string) string { return "line of " + nameOf(tenant) }
	trace := func(tenant string) string { return strings.TrimLeft(traceOf(tenant), "0") }
	return map[string]row{
		"query_range":           {func() string { return p.query("query_range", "query", ofLogs) }, line},
		"query":                 {func() string { return p.query("query", "query", "sum by (record) (count_over_time("+ofLogs+"[5m]))") }, nameOf},
		"detected_field values": {func() string { return p.query("detected_field/record/values", "query", ofLogs) }, nameOf},
		"search":                {func() string { return p.search("search", "q", ofSpans) }, trace},
		"tag values":            {func() string { return p.search("v2/search/tag/span.restate.invocation.id/values") }, nameOf},
		"old tag values":        {func() string { return p.search("search/tag/restate.invocation.id/values") }, nameOf},
		"metrics": {func() string {
			return p.search("metrics/query_range", "q", ofSpans+" | count_over_time() by (span.restate.invocation.id)", "step", "60s")
		}, nameOf},
	}
}

// TestOneTokenReadsSeveralTenants asks real engines with tokens of one tenant and of
// two.
func TestOneTokenReadsSeveralTenants(t *testing.T) {
	p := newPair(t)
	for name, row := range p.federating() {
		for token, tenants := range map[string][]string{"both": {"a", "b"}, "all": {"a", "b"}, "a": {"a"}, "b": {"b"}} {
			t.Run(name+" "+token, func(t *testing.T) {
				until(t, "the answer", func() error {
					code, body, err := p.get(t.Context(), token, row.target())
					if err == nil && code != http.StatusOK {
						err = fmt.Errorf("%d %s", code, body)
					}
					for _, tenant := range []string{"a", "b"} {
						has := strings.Contains(body, row.shows(tenant))
						if has && !slices.Contains(tenants, tenant) {
							t.Fatalf("the answer has something of %s: %s", tenant, body)
						}
						if !has && slices.Contains(tenants, tenant) {
							err = errors.Join(err, fmt.Errorf("the answer has nothing of %s: %.1000s", tenant, body))
						}
					}
					return err
				})
			})
		}
	}
	t.Run("labels", func(t *testing.T) {
		code, body, err := p.get(t.Context(), "both", p.query("label/__tenant_id__/values"))
		if err != nil || code != http.StatusOK || !strings.Contains(body, `["a","b"]`) {
			t.Errorf("%d %s, %v", code, body, err)
		}
	})
	t.Run("traces", func(t *testing.T) {
		for token, tenants := range map[string][]string{"both": {"a", "b"}, "all": {"a", "b"}, "a": {"a"}, "b": {"b"}} {
			for _, tenant := range []string{"a", "b"} {
				for _, path := range []string{"/api/traces/", "/api/v2/traces/"} {
					_, body, err := p.get(t.Context(), token, path+traceOf(tenant))
					if has := strings.Contains(body, "span of "+nameOf(tenant)); err != nil || has != slices.Contains(tenants, tenant) {
						t.Errorf("%s asks for %s%s: %q, %v", token, path, nameOf(tenant), body, err)
					}
				}
			}
		}
	})
	t.Run("streaming search", func(t *testing.T) { p.streams(t) })
	t.Run("streamed tags", func(t *testing.T) { p.streamsTags(t) })
	t.Run("what doesn't federate", func(t *testing.T) { p.refuses(t) })
}
