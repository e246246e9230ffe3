package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
)

const (
	// headerTimeout keeps slow clients from holding connections. There is no
	// timeout on bodies: tails and streams last for hours.
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	// drainTimeout is how long requests may go on when the daemon ends; tails are
	// then cut off.
	drainTimeout = 5 * time.Second
)

// servers returns what serves the four ports.
func (a *App) servers(ready *atomic.Bool) []func(context.Context) error {
	return []func(context.Context) error{
		func(ctx context.Context) error { return a.serveHTTP(ctx, a.sockets.http, a.relay.Public()) },
		func(ctx context.Context) error { return a.serveHTTP(ctx, a.sockets.otlpHTTP, a.relay.OTLP()) },
		func(ctx context.Context) error { return a.serveHTTP(ctx, a.sockets.admin, a.admin(ready)) },
		func(ctx context.Context) error { return serveGRPC(ctx, a.sockets.otlpGRPC, a.relay.GRPC()) },
	}
}

// admin is what operators see; it asks for no token and is on loopback unless
// configured otherwise.
func (a *App) admin(ready *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		err := errors.Join(a.loki.Ready(r.Context()), a.tempo.Ready(r.Context()))
		if !ready.Load() || err != nil {
			http.Error(w, fmt.Sprint("not ready: ", err), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}

// serveHTTP serves HTTP/1.1 and HTTP/2 without TLS until ctx ends, then lets
// requests finish.
func (a *App) serveHTTP(ctx context.Context, ln net.Listener, h http.Handler) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{
		Handler:           h,
		Protocols:         &protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug), // clients' broken connections
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := s.Shutdown(drain); err != nil {
		_ = s.Close() // what didn't finish in time is cut off
	}
	<-served
	return nil
}

func serveGRPC(ctx context.Context, ln net.Listener, s *grpc.Server) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	cut := time.AfterFunc(drainTimeout, s.Stop)
	defer cut.Stop()
	s.GracefulStop()
	<-served
	return nil
}
