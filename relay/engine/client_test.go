package engine

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// serve starts an HTTP server that also speaks HTTP/2 in plain text.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// remoteLoki makes a remote engine that is closed at the test's end.
func remoteLoki(t *testing.T, opts RemoteOptions) *Remote {
	t.Helper()
	remote, err := NewRemoteLoki(opts)
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, remote)
	return remote
}

func closeAfter(t *testing.T, remote *Remote) {
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := remote.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestRoundTripReachesTheEngine(t *testing.T) {
	type seen struct {
		Proto, Host, URI, Auth, Accept string
		Tenant                         []string
	}
	tests := map[string]struct {
		prefix string
		target string
		grpc   bool
		want   seen
	}{
		"plain": {
			target: "https://public.example/api/search?q=a%20b",
			want:   seen{Proto: "HTTP/1.1", URI: "/api/search?q=a%20b"},
		},
		"escapes and doubled slashes stay": {
			target: "https://public.example/api/v2/search/tag/a%2Fb//values?x=%2F",
			want:   seen{Proto: "HTTP/1.1", URI: "/api/v2/search/tag/a%2Fb//values?x=%2F"},
		},
		"prefix": {
			prefix: "/obs/tempo/",
			target: "https://public.example/api/search/tag/a%2Fb",
			want:   seen{Proto: "HTTP/1.1", URI: "/obs/tempo/api/search/tag/a%2Fb"},
		},
		"gRPC has no prefix": {
			prefix: "/obs/tempo",
			target: "https://public.example/tempopb.StreamingQuerier/Search",
			grpc:   true,
			want:   seen{Proto: "HTTP/2.0", URI: "/tempopb.StreamingQuerier/Search"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got seen
			server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				got = seen{r.Proto, r.Host, r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("Accept-Encoding"), r.Header.Values(TenantHeader)}
			})
			remote := remoteLoki(t, RemoteOptions{
				URL:    server.URL + tt.prefix,
				Header: http.Header{"authorization": {"Basic abc"}, "X-SCOPE-orgid": {"theirs"}},
			})
			// What a server was asked, as a relay has it.
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.target, nil)
			req.Header.Set("Authorization", "Bearer theirs")
			req.Header.Set(TenantHeader, "acme")
			req.Header.Set("Accept-Encoding", "zstd")
			if tt.grpc {
				req.Proto, req.ProtoMajor = "HTTP/2.0", 2
				req.Header.Set("Content-Type", "application/grpc+proto")
			}
			before := req.Header.Clone()
			resp, err := remote.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			tt.want.Host, tt.want.Auth = strings.TrimPrefix(server.URL, "http://"), "Basic abc"
			tt.want.Tenant, tt.want.Accept = []string{"acme"}, "zstd"
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("the engine saw (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, req.Header); diff != "" || req.URL.String() != tt.target {
				t.Errorf("the caller's request changed: %s\n%s", req.URL, diff)
			}
		})
	}
}

// TestAnswersAreNotBuffered: the server ends its answer only after its first
// part was read.
func TestAnswersAreNotBuffered(t *testing.T) {
	for _, grpc := range []bool{false, true} {
		t.Run(fmt.Sprintf("grpc=%v", grpc), func(t *testing.T) {
			read := make(chan struct{})
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintln(w, "first")
				w.(http.Flusher).Flush()
				select {
				case <-read:
				case <-r.Context().Done():
				}
				fmt.Fprintln(w, "second")
			})
			remote := remoteLoki(t, RemoteOptions{URL: server.URL})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			req := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://engine/stream", nil)
			if grpc {
				req.ProtoMajor = 2
				req.Header.Set("Content-Type", "application/grpc")
			}
			resp, err := remote.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			in := bufio.NewReader(resp.Body)
			if line, err := in.ReadString('\n'); err != nil || line != "first\n" {
				t.Fatalf("got %q: %v", line, err)
			}
			close(read)
			if line, err := in.ReadString('\n'); err != nil || line != "second\n" {
				t.Fatalf("got %q: %v", line, err)
			}
		})
	}
}

func TestRoundTripGivesUpWithTheContext(t *testing.T) {
	arrived := make(chan struct{})
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	remote := remoteLoki(t, RemoteOptions{URL: server.URL})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := remote.RoundTrip(httptest.NewRequestWithContext(ctx, http.MethodGet, "http://engine/slow", nil))
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want context.Canceled alone", err)
	}
}

func TestRemoteOverTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of the client that doesn't know us
	server.StartTLS()
	defer server.Close()
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	remote := remoteLoki(t, RemoteOptions{URL: server.URL, TLS: &tls.Config{RootCAs: authorities}})
	for want, grpc := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://engine/", nil)
		if grpc {
			req.ProtoMajor = 2
			req.Header.Set("Content-Type", "application/grpc")
		}
		resp, err := remote.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(got) != want {
			t.Errorf("spoke %s, want %s", got, want)
		}
	}
	if err := remoteLoki(t, RemoteOptions{URL: server.URL}).Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("unknown authority: got %v, want ErrUnavailable", err)
	}
}

func TestLokiPushErrors(t *testing.T) {
	long := strings.Repeat("é", 10_000)
	tests := []struct {
		status     int
		retryAfter string
		body       string
		ok         bool
		permanent  bool
		wait       time.Duration
	}{
		{status: 204, ok: true},
		{status: 200, ok: true},
		{status: 260, body: "ingestion blocked"},
		{status: 307},
		{status: 400, body: "entry too far behind", permanent: true},
		{status: 400, body: long, permanent: true},
		{status: 422, permanent: true},
		{status: 401}, // someone can correct the credentials, or the URL
		{status: 403},
		{status: 404},
		{status: 402},
		{status: 405},
		{status: 407},
		{status: 408},
		{status: 409},
		{status: 410},
		{status: 411},
		{status: 413}, // a gateway's limit: Loki's own is far above ours
		{status: 414},
		{status: 415},
		{status: 421},
		{status: 425},
		{status: 431},
		{status: 451},
		{status: 499},
		{status: 429, retryAfter: "7", body: "rate limited", wait: 7 * time.Second},
		{status: 429, retryAfter: "99999999999999999999", wait: maxRetryAfter},
		{status: 500},
		{status: 503, retryAfter: "nonsense"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status), func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				tenants := r.Header.Values(TenantHeader)
				if r.URL.Path != "/loki/api/v1/push" || len(tenants) != 1 || tenants[0] != "acme" ||
					r.Header.Get("Content-Type") != "application/x-protobuf" || string(body) != "encoded" {
					t.Errorf("pushed %s %v %q", r.URL, r.Header, body)
				}
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			opts := RemoteOptions{URL: server.URL, Header: http.Header{"x-scope-orgid": {"theirs"}}}
			err := remoteLoki(t, opts).Push(t.Context(), "acme", []byte("encoded"))
			if tt.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var pushErr *PushError
			if !errors.As(err, &pushErr) {
				t.Fatalf("got %v, want a PushError", err)
			}
			if pushErr.Permanent != tt.permanent || pushErr.RetryAfter != tt.wait {
				t.Errorf("permanent %v, retry after %v; want %v, %v", pushErr.Permanent, pushErr.RetryAfter, tt.permanent, tt.wait)
			}
			if text := err.Error(); len(text) > maxMessage+200 || !strings.Contains(text, tt.body[:min(len(tt.body), 100)]) {
				t.Errorf("message of %d bytes: %.200s", len(text), text)
			}
		})
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "30": 30 * time.Second, "-5": 0, "1.5": 0, "soon": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second,
		"Fri, 02 Jan 2026 03:04:00 GMT": 0, // over
		"Sat, 02 Jan 2027 03:04:00 GMT": maxRetryAfter,
		"18446744073709551615":          maxRetryAfter,
		"99999999999999999999999":       maxRetryAfter,
	} {
		if got := parseRetryAfter(value, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestRemoteRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		opts RemoteOptions
		want string
	}{
		"no URL":         {RemoteOptions{}, "http or https"},
		"scheme":         {RemoteOptions{URL: "ftp://host"}, "http or https"},
		"no host":        {RemoteOptions{URL: "http:///x"}, "http or https"},
		"unparsable":     {RemoteOptions{URL: "http://user:hunter2@ho st/"}, "not a URL"},
		"password":       {RemoteOptions{URL: "http://user:hunter2@host/"}, "a scheme, a host and a path only"},
		"query":          {RemoteOptions{URL: "http://host/?a=b"}, "a scheme, a host and a path only"},
		"no OTLP":        {RemoteOptions{URL: "http://host"}, "want host:port"},
		"OTLP scheme":    {RemoteOptions{URL: "http://host", OTLPEndpoint: "grpc://host:4317"}, "unsupported scheme"},
		"OTLP no port":   {RemoteOptions{URL: "http://host", OTLPEndpoint: "host"}, "want host:port"},
		"OTLP with path": {RemoteOptions{URL: "http://host", OTLPEndpoint: "http://host/v1/traces"}, "want host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewRemoteTempo(tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("shows the password: %v", err)
			}
		})
	}
}

// TestReadyPath: what a gateway offers instead of /ready.
func TestReadyPath(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/gateway/health" {
			http.NotFound(w, r)
		}
	})
	ready := remoteLoki(t, RemoteOptions{URL: server.URL + "/gateway", ReadyPath: "health"})
	if err := ready.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	hidden := remoteLoki(t, RemoteOptions{URL: server.URL + "/gateway"})
	if err := hidden.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	remote, err := NewRemoteLoki(RemoteOptions{URL: server.URL})
	if err != nil {
		b.Fatal(err)
	}
	req := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://engine/x", nil)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := remote.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
}
