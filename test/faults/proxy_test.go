//go:build integration

package faults

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/invoscope/invoscope/test/harness"
)

// proxy stands between the daemon and an engine, and misbehaves when told to.
type proxy struct {
	addr   string // host:port
	engine http.Handler
	mode   atomic.Pointer[misbehaviour]
	hits   atomic.Int64 // pushes that met a fault
}

// misbehaviour is what happens to pushes meanwhile. Queries are left alone: what
// the daemon does with them is its own test's business.
type misbehaviour struct {
	ctx   context.Context // ends with the fault
	act   func(*proxy, http.ResponseWriter, *http.Request)
	every int64 // one push of so many
	count atomic.Int64
}

// startProxy listens in front of an engine's socket. It speaks HTTP/1.1 and, for
// gRPC, HTTP/2 without TLS.
func startProxy(t testing.TB, socket string, grpc bool) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: harness.DialUnix(socket), MaxIdleConnsPerHost: 64, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!grpc)
	transport.Protocols.SetUnencryptedHTTP2(grpc)
	t.Cleanup(transport.CloseIdleConnections)
	p := &proxy{addr: listener.Addr().String()}
	p.engine = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: p, Protocols: &protocols, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	isPush := strings.HasSuffix(r.URL.Path, "/push") || strings.HasSuffix(r.URL.Path, "/Export")
	if m := p.mode.Load(); m != nil && isPush && m.count.Add(1)%m.every == 0 {
		p.hits.Add(1)
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(m.ctx, cancel)()
		m.act(p, w, r.WithContext(ctx))
		return
	}
	p.engine.ServeHTTP(w, r)
}

// misbehave lets one push of every so many meet a fault for a while, and reports
// whether any did.
func (p *proxy) misbehave(ctx context.Context, act func(*proxy, http.ResponseWriter, *http.Request), every int64, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	before := p.hits.Load()
	p.mode.Store(&misbehaviour{ctx: ctx, act: act, every: every})
	<-ctx.Done()
	p.mode.Store(nil)
	return p.hits.Load() > before
}

// refuse answers as the engines do: Loki with a status, Tempo with a gRPC code.
func refuse(httpStatus int, code codes.Code, retryAfter int) func(*proxy, http.ResponseWriter, *http.Request) {
	return func(_ *proxy, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			if retryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
			}
			http.Error(w, "a fault of the test", httpStatus)
			return
		}
		st := status.New(code, "a fault of the test")
		if retryAfter > 0 {
			st, _ = st.WithDetails(&errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: int64(retryAfter)}})
		}
		details, _ := proto.Marshal(st.Proto()) // a message of our own making
		h := w.Header()
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", strconv.Itoa(int(code)))
		h.Set("Grpc-Message", st.Message())
		h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(details))
	}
}

// gatewayError is a status that comes from something before the engine.
func gatewayError(httpStatus int) func(*proxy, http.ResponseWriter, *http.Request) {
	return func(_ *proxy, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>a fault of the test</html>", httpStatus)
	}
}

// hang takes the request and never answers.
func hang(_ *proxy, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	panic(http.ErrAbortHandler) // breaks the connection or resets the stream
}

// loseAnswer lets the engine store the request and breaks off in the answer.
func loseAnswer(p *proxy, w http.ResponseWriter, r *http.Request) {
	p.engine.ServeHTTP(discard{http.Header{}}, r)
	if hijacker, ok := w.(http.Hijacker); ok {
		if conn, _, err := hijacker.Hijack(); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Con")
			conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// loseRequest breaks off in the middle of the request.
func loseRequest(_ *proxy, _ http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 1+r.ContentLength/2)
	panic(http.ErrAbortHandler)
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
func (discard) Flush()                      {}
