package keyset

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// contains reports whether s contains all the parts.
func contains(s string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

// served is a real server on this host whose answer a test changes.
type served struct {
	*Set
	body atomic.Pointer[string]
}

func (s *served) serves(body string) { s.body.Store(&body) }

func (s *served) fetchNow() error { return s.fetchOnce(context.Background()) }

// watchForReal opens a set without running it, so that a test fetches when it wants.
func watchForReal(t *testing.T, body string) *served {
	s := &served{}
	s.serves(body)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, *s.body.Load()) }))
	t.Cleanup(server.Close)
	s.Set = open(t, Options{JWKSURL: server.URL})
	if err := s.fetchNow(); err != nil {
		t.Fatal(err)
	}
	return s
}

// caOf is the certificate of a test server, in a file.
func caOf(t *testing.T, s *httptest.Server) string {
	return write(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func newServer(t *testing.T, start func(http.Handler) *httptest.Server, routes map[string]http.HandlerFunc) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	for path, handle := range routes {
		mux.HandleFunc(path, handle)
	}
	s := start(mux)
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
}

func redirects(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

func TestFetch(t *testing.T) {
	p := newPair(t, "EdDSA")
	keys := jwks(t, p.jwk(t, "p", nil))
	plain := newServer(t, httptest.NewServer, map[string]http.HandlerFunc{
		"/keys": says(keys),
		"/huge": func(w http.ResponseWriter, _ *http.Request) {
			for range 1<<10 + 1 {
				io.WriteString(w, strings.Repeat(" ", 1<<10))
			}
		},
		"/bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.CopyN(z, zeros{}, 4<<20)
			_ = z.Close()
		},
		"/header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 100<<10))
			io.WriteString(w, keys)
		},
		"/to/remote": redirects("http://id.example.com/keys"),
		"/to/file":   redirects("file:///etc/passwd"),
		"/to/me":     redirects("http://me:hidden@127.0.0.1/"),
		"/1":         redirects("/keys"), "/2": redirects("/1"), "/3": redirects("/2"), "/4": redirects("/3"),
		"/loop": redirects("/loop"),
	})
	secure := newServer(t, httptest.NewTLSServer, map[string]http.HandlerFunc{
		"/keys": says(keys), "/to/http": redirects(plain.URL + "/keys"), "/to/https": redirects("/keys"),
	})
	ca, otherCA := caOf(t, secure), write(t, newPair(t, "ES256").certificate(t, time.Now().Add(time.Hour)))
	for name, tc := range map[string]struct {
		url, ca, want string // no want: it succeeds
	}{
		"http":                   {plain.URL + "/keys", "", ""},
		"https":                  {secure.URL + "/keys", ca, ""},
		"unknown authority":      {secure.URL + "/keys", "", "certificate"},
		"another authority":      {secure.URL + "/keys", otherCA, "certificate"},
		"huge":                   {plain.URL + "/huge", "", "larger than 1 MiB"},
		"gzip bomb":              {plain.URL + "/bomb", "", "larger than 1 MiB"},
		"large header":           {plain.URL + "/header", "", "exceeded"},
		"https to http":          {secure.URL + "/to/http", ca, "leads from https to http"},
		"https to https":         {secure.URL + "/to/https", ca, ""},
		"redirect elsewhere":     {plain.URL + "/to/remote", "", "want https"},
		"redirect to a file":     {plain.URL + "/to/file", "", "not an absolute URL"},
		"redirect to a password": {plain.URL + "/to/me", "", "password"},
		"three redirects":        {plain.URL + "/3", "", ""},
		"four redirects":         {plain.URL + "/4", "", "more than 3 redirects"},
		"endless redirects":      {plain.URL + "/loop", "", "more than 3 redirects"},
		"missing":                {plain.URL + "/missing", "", "status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{JWKSURL: tc.url, CAFile: tc.ca})
			switch err := s.fetchOnce(t.Context()); {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want == "":
				accepted(t, s, p.token(t, "p"))
			case err == nil || !contains(err.Error(), tc.want) || contains(err.Error(), "hidden"):
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// The query of a URL may be a secret.
func TestRedirectDoesNotTellTheQuery(t *testing.T) {
	p := newPair(t, "EdDSA")
	s := newServer(t, httptest.NewServer, map[string]http.HandlerFunc{
		"/keys": redirects("/there"),
		"/there": func(w http.ResponseWriter, r *http.Request) {
			if contains(fmt.Sprint(r.URL, r.Header), "hidden") {
				t.Errorf("%s got %v", r.URL, r.Header)
			}
			io.WriteString(w, jwks(t, p.jwk(t, "p", nil)))
		},
	})
	if err := open(t, Options{JWKSURL: s.URL + "/keys?hidden"}).fetchOnce(t.Context()); err != nil {
		t.Error(err)
	}
}

// Nobody but ca_file vouches, not the system's authorities either.
func TestAuthorityOfAFile(t *testing.T) {
	secure := newServer(t, httptest.NewTLSServer, nil)
	client, err := newClient(caOf(t, secure))
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	want.AddCert(secure.Certificate())
	if got := client.Transport.(*http.Transport).TLSClientConfig.RootCAs; !got.Equal(want) {
		t.Error("others vouch for the server")
	}
}

// Between two fetches no connection is kept.
func TestConnectionIsClosed(t *testing.T) {
	p := newPair(t, "EdDSA")
	closed := make(chan struct{}, 1)
	s := httptest.NewUnstartedServer(says(jwks(t, p.jwk(t, "p", nil))))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	if err := open(t, Options{JWKSURL: s.URL}).fetchOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestDiscovery(t *testing.T) {
	p := newPair(t, "EdDSA")
	routes := map[string]http.HandlerFunc{"/keys": says(jwks(t, p.jwk(t, "p", nil)))}
	plain := newServer(t, httptest.NewServer, routes)
	for name, tc := range map[string]struct {
		path     string                             // of the issuer
		document func(issuer, server string) string // nil: a good one
		want     string
	}{
		"good":          {"", nil, ""},
		"with a path":   {"/realms/dev", nil, ""},
		"with a slash":  {"/", nil, ""},
		"both":          {"/realms/dev/", nil, ""},
		"another":       {"", func(_, s string) string { return document("https://id.example.com", s+"/keys") }, `of the issuer "https://id.example.com"`},
		"a slash more":  {"", func(i, s string) string { return document(i+"/", s+"/keys") }, "of the issuer"},
		"a slash less":  {"/x/", func(i, s string) string { return document(strings.TrimSuffix(i, "/"), s+"/keys") }, "of the issuer"},
		"upper case":    {"/x", func(i, s string) string { return document(strings.ToUpper(i), s+"/keys") }, "of the issuer"},
		"no issuer":     {"", func(_, s string) string { return document("", s+"/keys") }, `of the issuer ""`},
		"no jwks_uri":   {"", func(i, _ string) string { return document(i, "") }, "not an absolute URL"},
		"relative":      {"", func(i, _ string) string { return document(i, "/keys") }, "not an absolute URL"},
		"http":          {"", func(i, _ string) string { return document(i, "http://id.example.com/?hidden") }, "want https"},
		"a file":        {"", func(i, _ string) string { return document(i, "file:///etc/passwd") }, "not an absolute URL"},
		"to loopback":   {"https", func(i, _ string) string { return document(i, plain.URL+"/keys") }, "leads from https to http"},
		"HTML":          {"", func(string, string) string { return "<html>" }, "not a discovery document"},
		"huge":          {"", func(string, string) string { return strings.Repeat(" ", maxBytes+1) }, "larger than 1 MiB"},
		"another place": {"", func(i, s string) string { return document(i, s+"/missing") }, "status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			start, path := httptest.NewServer, tc.path
			if path == "https" {
				start, path = httptest.NewTLSServer, ""
			}
			var issuer, said string
			s := newServer(t, start, map[string]http.HandlerFunc{
				"/keys": routes["/keys"],
				strings.TrimSuffix(path, "/") + "/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, said) },
			})
			issuer = s.URL + path
			if said = document(issuer, s.URL+"/keys"); tc.document != nil {
				said = tc.document(issuer, s.URL)
			}
			o := Options{Discovery: true, Issuer: issuer}
			if s.Certificate() != nil {
				o.CAFile = caOf(t, s)
			}
			set := open(t, o)
			switch err := set.fetchOnce(t.Context()); {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want == "":
				accepted(t, set, p.token(t, "p"))
			case err == nil || !contains(err.Error(), tc.want) || contains(err.Error(), "hidden"):
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func document(issuer, keys string) string {
	return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"token_endpoint":"x"}`, issuer, keys)
}
