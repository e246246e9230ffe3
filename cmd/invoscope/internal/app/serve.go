package app

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

const (
	// headerTimeout keeps slow clients from holding connections. There is no
	// timeout on bodies: tails and streams last for hours.
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	// maxStreams is how many requests one HTTP/2 connection may have under way: a
	// Grafana with many panels has dozens.
	maxStreams = 250
	// pingAfter is after how much silence a client on HTTP/2 is asked whether it is there,
	// and pingPatience how long the answer may take: streams may be silent for hours.
	pingAfter    = 30 * time.Second
	pingPatience = 15 * time.Second
	// writePatience is how long a client on HTTP/2 may take nothing of what is ready for it.
	writePatience = time.Minute
	// drainTimeout is how long requests may go on when the daemon ends; tails are
	// then cut off.
	drainTimeout = 5 * time.Second
)

// servers returns what serves the four ports.
func (a *App) servers(ready *atomic.Bool) []func(context.Context) error {
	return []func(context.Context) error{
		func(ctx context.Context) error {
			return a.serveHTTP(ctx, a.security.listen(a.bound("http", a.sockets.http)), a.relay.Public())
		},
		func(ctx context.Context) error {
			return a.serveHTTP(ctx, a.security.listen(a.bound("otlp_http", a.sockets.otlpHTTP)), a.relay.OTLP())
		},
		func(ctx context.Context) error {
			return a.serveHTTP(ctx, a.bound("admin", a.sockets.admin), a.admin(ready))
		},
		func(ctx context.Context) error {
			return serveGRPC(ctx, a.security.listen(a.bound("otlp_grpc", a.sockets.otlpGRPC)), a.relay.GRPC())
		},
	}
}

// bound keeps a port from having more connections than it may.
func (a *App) bound(port string, ln net.Listener) net.Listener {
	return newBoundedListener(ln, int(a.cfg.Listen.MaxConnections), a.connections.WithLabelValues(port))
}

// serveHTTP serves HTTP/1.1 and HTTP/2 until ctx ends, then lets requests finish. The
// listener's connections may have TLS.
func (a *App) serveHTTP(ctx context.Context, ln net.Listener, h http.Handler) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{
		Handler:   h,
		Protocols: &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			SendPingTimeout:      pingAfter,
			PingTimeout:          pingPatience,
			WriteByteTimeout:     writePatience,
		},
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,

		DisableGeneralOptionsHandler: true,                                                // "OPTIONS *" is refused, and audited, as any other
		ErrorLog:                     slog.NewLogLogger(a.log.Handler(), slog.LevelDebug), // clients' broken connections
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
