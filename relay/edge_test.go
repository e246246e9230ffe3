package relay

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestSecurityHeaders looks at what every answer has, and what it hasn't.
func TestSecurityHeaders(t *testing.T) {
	own := map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	}
	tests := map[string]struct {
		target, token string
		tls           bool
		engine        http.Header
		differ        map[string]string
	}{
		"an engine's answer":  {"/loki/api/v1/query", "good", false, http.Header{"X-Engine": {"loki"}}, map[string]string{"X-Engine": "loki"}},
		"its own caching":     {"/loki/api/v1/query", "good", false, http.Header{"Cache-Control": {"max-age=5"}}, map[string]string{"Cache-Control": "max-age=5"}},
		"its chatter":         {"/loki/api/v1/query", "good", false, http.Header{"Server": {"Loki/3"}, "X-Content-Type-Options": {"x"}, "Connection": {"X-Hop"}, "X-Hop": {"1"}, "Keep-Alive": {"1"}, "Proxy-Authenticate": {"x"}, "Set-Cookie": {"a=b"}}, map[string]string{}},
		"a refusal":           {"/loki/api/v1/query", "", false, nil, map[string]string{"Www-Authenticate": `Bearer realm="invoscope"`}},
		"nowhere":             {"/nowhere", "", false, nil, map[string]string{}},
		"a dot segment":       {"/%2e%2e/", "", false, nil, map[string]string{}},
		"the API of our own":  {"/api/invoscope/v1/invocations", "good", false, nil, map[string]string{}},
		"an open route":       {"/ready", "", false, nil, map[string]string{}},
		"an answer over TLS":  {"/loki/api/v1/query", "good", true, nil, map[string]string{"Strict-Transport-Security": hstsValue}},
		"a refusal over TLS":  {"/loki/api/v1/query", "", true, nil, map[string]string{"Strict-Transport-Security": hstsValue, "Www-Authenticate": `Bearer realm="invoscope"`}},
		"an engine's own TLS": {"/loki/api/v1/query", "good", false, http.Header{"Strict-Transport-Security": {"max-age=1"}}, map[string]string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.loki.respond = func(r *http.Request) (*http.Response, error) {
				if tt.engine == nil {
					tt.engine = http.Header{}
				}
				return &http.Response{StatusCode: http.StatusOK, Header: tt.engine.Clone(), Body: io.NopCloser(strings.NewReader("x")), Request: r}, nil
			}
			r := httptest.NewRequest(http.MethodGet, tt.target, nil)
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			if tt.token != "" {
				r.Header.Set("Authorization", "Bearer "+tt.token)
			}
			got := map[string]string{}
			for name, values := range f.do(r).Header {
				if name != "Content-Type" {
					got[name] = strings.Join(values, " and ")
				}
			}
			want := map[string]string{}
			for _, from := range []map[string]string{own, tt.differ} {
				for name, value := range from {
					want[name] = value
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// What stands for a {name} may be encoded in any way, and gets to the engine as it came.
func TestEncodedNamesAreRelayed(t *testing.T) {
	for path, want := range map[string]int{
		"/api/v2/search/tag/span.http%252Froute/values": 200,
		"/api/v2/search/tag/span.http%2Froute/values":   200,
		"/api/v2/search/tag/a;b/values":                 200,
		"/api/v2/search/tag/%61/values":                 200,
		"/api/v2/search/tag/a%5Cb/values":               200,
		"/api/v2/search/tag//values":                    404,
		"/api/v2/search/tag/values":                     404,
		"/api/v2/search/tag/a%2F..%2Fb/values":          400,
		"/api/v2/search/tag/..%5C..%5Cb/values":         400,
		"/api/v2/search/tag/a/values;x":                 404,
		"/api/v2/search/tag/a/value%73":                 404,
		"/%61pi/echo":                                   404,
		"/api/echo%00":                                  404,
		"/api/echo%20":                                  404,
		"/api/echo;a=b":                                 404,
		"/api\\echo":                                    404,
		"/API/echo":                                     404,
		"/api/echo/":                                    404,
		"//api/echo":                                    404,
		"/api//echo":                                    404,
		"///":                                           404,
		"/":                                             404,
	} {
		f := newFixture(t)
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		u, err := r.URL.Parse(path)
		if err != nil || strings.HasPrefix(path, "//") || strings.Contains(path, "\\") {
			u = r.URL
			u.Path = path
		}
		r.URL, r.RequestURI = u, path
		r.Header.Set("Authorization", "Bearer good")
		resp := f.do(r)
		if resp.StatusCode != want || resp.Header.Get("Location") != "" {
			t.Errorf("%s: %d, want %d; location %q", path, resp.StatusCode, want, resp.Header.Get("Location"))
		}
		if got := f.tempo.last(); want == 200 && (got == nil || got.URL.EscapedPath() != path) {
			t.Errorf("%s: the engine was asked for %v", path, got)
		} else if want != 200 && got != nil {
			t.Errorf("%s: the engine was asked", path)
		}
	}
}

func TestWrongMethods(t *testing.T) {
	f := newFixture(t)
	for target, want := range map[string]string{
		"DELETE /loki/api/v1/query": "GET, POST", "GET /v1/logs": "POST", "PUT /api/traces/a": "GET", "OPTIONS /loki/api/v1/push": "POST", "TRACE /ready": "GET",
	} {
		method, path, _ := strings.Cut(target, " ")
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Authorization", "Bearer good")
		if resp := f.do(r); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != want {
			t.Errorf("%s: %d, Allow %q", target, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
	if f.loki.last() != nil || f.tempo.last() != nil {
		t.Error("an engine was asked")
	}
}

// endless is an answer that doesn't end before its reader does.
type endless struct{ ended chan<- struct{} }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func (e endless) Close() error {
	close(e.ended)
	return nil
}

// A client that doesn't read its answer loses it.
func TestAnswersThatAreNotReadAreCut(t *testing.T) {
	f := newFixture(t)
	f.relay.writeTimeout = shortBody
	ended := make(chan struct{})
	f.loki.respond = func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: endless{ended}, Request: r}, nil
	}
	conn := dial(t, f.publicPort(t))
	if _, err := io.WriteString(conn, "GET /loki/api/v1/query HTTP/1.1\r\n"+asAcme+"\r\n"); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// A long route's answer waits for as long as its client likes.
func TestLongAnswersThatAreNotReadAreKept(t *testing.T) {
	f := newFixture(t)
	f.relay.writeTimeout = shortBody
	conn := dial(t, f.publicPort(t))
	client := bufio.NewReader(conn)
	for _, target := range []string{"/loki/api/v1/labels", "/loki/api/v1/tail"} { // the first leaves a deadline behind
		ended := make(chan struct{})
		body := io.ReadCloser(endless{ended})
		if !strings.HasSuffix(target, "tail") {
			body = io.NopCloser(strings.NewReader("x"))
		}
		f.loki.respond = func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, Request: r}, nil
		}
		if _, err := io.WriteString(conn, "GET "+target+" HTTP/1.1\r\n"+asAcme+"\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(client, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(target, "tail") {
			_, _ = io.Copy(io.Discard, resp.Body)
			continue
		}
		select {
		case <-ended:
			t.Error("the answer was cut")
		case <-time.After(5 * shortBody):
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 1<<20)); err != nil {
			t.Errorf("the answer doesn't go on: %v", err)
		}
	}
}

// An answer may take its time to begin and between its parts: only a client may not.
func TestSlowAnswersAreNotCut(t *testing.T) {
	f := newFixture(t)
	f.relay.writeTimeout = shortBody
	f.loki.respond = func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(&slowReader{left: 3}), Request: r}, nil
	}
	conn := dial(t, f.publicPort(t))
	client := bufio.NewReader(conn)
	for range 2 { // over one connection
		if _, err := io.WriteString(conn, "GET /loki/api/v1/query HTTP/1.1\r\n"+asAcme+"\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(client, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "xxx" {
			t.Errorf("%q, %v", body, err)
		}
		resp.Body.Close()
	}
	if err := conn.SetReadDeadline(time.Now().Add(shortBody)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection isn't kept: %v", err)
	}
}

// slowReader takes longer over each byte than a client may.
type slowReader struct{ left int }

func (r *slowReader) Read(p []byte) (int, error) {
	<-time.After(2 * shortBody)
	if r.left == 0 {
		return 0, io.EOF
	}
	r.left--
	p[0] = 'x'
	return 1, nil
}
