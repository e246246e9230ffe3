package relay

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzTargets asks for anything as the target of a request. What reaches an engine is the
// path as it came, and spelled as a route's.
func FuzzTargets(f *testing.F) {
	for _, target := range []string{
		"/api/echo", "/api/traces/a%2Fb", "//api/echo", "/api/../flush", "/api/traces/%2e%2e", "/api/traces/..%5cflush", "http://x/api/echo",
		"*", "x:1", "/API/echo", "/api/search/tag/%252e/values", "/loki/api/v1/query?query=%zz", "/api/echo;x", "/api/traces/a?x#y", "/\xff", "/%",
	} {
		f.Add("GET", target)
	}
	f.Add("CONNECT", "/api/echo")
	fixture := newFixture(f)
	routes := Routes()
	f.Fuzz(func(t *testing.T, method, target string) {
		raw := method + " " + target + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		fixture.loki.seen, fixture.tempo.seen = nil, nil
		w := httptest.NewRecorder()
		fixture.relay.Public().ServeHTTP(w, r)
		if location := w.Header().Get("Location"); location != "" || w.Code/100 == 3 {
			t.Errorf("%q: a redirect, %d, to %q", raw, w.Code, location)
		}
		for _, got := range append(fixture.loki.seen, fixture.tempo.seen...) {
			path := got.URL.EscapedPath()
			known := false
			for _, route := range routes {
				known = known || spelled(route.Pattern, path)
			}
			if !known || path != r.URL.EscapedPath() || hasDotSegment(got.URL.Path) {
				t.Errorf("%q: an engine was asked for %q", raw, path)
			}
			if tenants := got.Header.Values("X-Scope-OrgID"); len(tenants) != 1 || tenants[0] != "acme" {
				t.Errorf("%q: of %q", raw, tenants)
			}
		}
	})
}
