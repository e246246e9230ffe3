package relay

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/ingest"
	"github.com/invoscope/invoscope/relay/invocation"
	"github.com/invoscope/invoscope/relay/rebuild"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/limits"
)

// Authenticator tells who is calling; [tenancy.Authenticator] is one.
type Authenticator interface {
	Authenticate(tenancy.Caller) (tenancy.Identity, error)
	// Hold returns a context that ends when the caller may no longer be served.
	Hold(context.Context, tenancy.Identity) (context.Context, context.CancelFunc)
}

// Index is what is known of invocations; [index.Index] is one.
type Index interface {
	index.Reader
	// Since returns from when on all invocations of a tenant are known, in nanoseconds
	// since 1970.
	Since(ctx context.Context, tenant string) (int64, error)
}

// Roster knows which tenants there are; [roster.Roster] is one.
type Roster interface {
	// Tenants returns all tenants, sorted.
	Tenants() []string
	// Seen notes that a tenant writes.
	Seen(tenant string) error
}

// Options are the parts that a [Relay] connects.
type Options struct {
	Loki, Tempo engine.Engine
	Ingest      *ingest.Ingest
	Rebuild     *rebuild.Server
	// Authenticator decides who may do what.
	Authenticator Authenticator
	// Limits are what tenants may use; nil means that nothing is limited.
	Limits *limits.Limiter
	// Roster knows the tenants that a token for all of them reads; nil means none.
	Roster Roster
	// MaxBytes bounds one gRPC message, decompressed.
	MaxBytes int64
	// Index is what is known of invocations. The invocation API answers from it, and
	// searches for one invocation are narrowed by it.
	Index Index
	// Lookups reports whether a tenant's searches are narrowed; all are if it is nil.
	Lookups func(tenant string) bool
	// TenantKey is the label that ingest puts on every stream.
	TenantKey string
	// GrafanaURL is where links to invocations lead; empty if there is no Grafana.
	GrafanaURL string
	// Now is the time by which "since" is meant; time.Now if nil.
	Now func() time.Time

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Relay serves the table of routes.
type Relay struct {
	opts    Options
	metrics *metrics
	limits  *limits.Limiter
	now     func() time.Time
	grpc    *grpc.Server
	loki    handler
	tempo   handler
	ready   *readiness

	invocations *invocation.API

	public *http.ServeMux
	otlp   *http.ServeMux
	// bodyTimeout is the constant of that name, shorter in tests.
	bodyTimeout time.Duration
}

// New returns a relay.
func New(o Options) *Relay {
	r := &Relay{
		opts: o, metrics: newMetrics(o.Registerer),
		ready:  &readiness{loki: o.Loki, tempo: o.Tempo, now: time.Now},
		public: http.NewServeMux(), otlp: http.NewServeMux(), bodyTimeout: bodyTimeout,
	}
	if r.now = o.Now; r.now == nil {
		r.now = time.Now
	}
	if r.limits = o.Limits; r.limits == nil {
		r.limits = limits.New(limits.Set{}, limits.Options{Registerer: o.Registerer})
	}
	r.invocations = invocation.New(invocation.Options{
		Index: o.Index, Loki: o.Loki, Tempo: o.Tempo, TenantKey: o.TenantKey, GrafanaURL: o.GrafanaURL, Now: r.now,
	})
	r.loki = r.relayTo(o.Loki)
	r.tempo = r.relayTo(o.Tempo)
	r.grpc = r.newGRPC()
	o.Ingest.Register(r.grpc, tenantOf)
	for _, route := range Routes() {
		h := r.adapt(route)
		for method := range strings.FieldsSeq(route.Methods) {
			r.public.Handle(method+" "+route.Pattern, h)
			if route.OTLP {
				r.otlp.Handle(method+" "+route.Pattern, h)
			}
		}
	}
	return r
}

// Public returns the handler of the public port, for HTTP/1.1 and HTTP/2.
func (r *Relay) Public() http.Handler { return r.limitBodies(refuseDotSegments(r.public)) }

// OTLP returns the handler of the OTLP/HTTP port.
func (r *Relay) OTLP() http.Handler { return r.limitBodies(refuseDotSegments(r.otlp)) }

// GRPC returns the server of the OTLP/gRPC port.
func (r *Relay) GRPC() *grpc.Server { return r.grpc }

// handler serves a request whose caller is known; it is the zero Identity on
// routes that are open. An error means that nothing has been written.
type handler func(w http.ResponseWriter, r *http.Request, id tenancy.Identity) error

// adapt is the one place where a route's requirements are checked and its errors
// written.
func (r *Relay) adapt(route Route) http.Handler {
	serve := route.serve(r)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		sw := &statusWriter{ResponseWriter: w}
		err := r.checkShape(route, req)
		var id tenancy.Identity
		if err == nil && route.Scope != "" {
			id, err = r.authorize(callerOf(req), route.Scope)
		}
		if err == nil {
			err = r.admitted(route, serve)(sw, req, id)
		}
		if err != nil {
			r.logRefusal(req.Context(), route.Pattern, id, err)
			fault.Write(sw, req, route.Shape, err)
		}
		r.metrics.count(route.Pattern, sw.status)
	})
}

// checkShape keeps plain HTTP away from gRPC methods.
func (r *Relay) checkShape(route Route, req *http.Request) error {
	if route.Shape == fault.GRPC && !isGRPC(req) {
		return fault.New(fault.UnsupportedMedia, "this is a gRPC method")
	}
	return nil
}

func isGRPC(req *http.Request) bool {
	return req.ProtoMajor == 2 && strings.HasPrefix(req.Header.Get("Content-Type"), "application/grpc")
}

// logRefusal tells of a refused request. Strangers could fill the log with theirs,
// which are counted.
func (r *Relay) logRefusal(ctx context.Context, route string, id tenancy.Identity, err error) {
	level := slog.LevelInfo
	switch fault.Of(err).Kind {
	case fault.Internal:
		level = slog.LevelError
	case fault.Unauthenticated:
		level = slog.LevelDebug
	}
	r.opts.Log.Log(ctx, level, "request refused", "route", route, "tenant", id.Tenant, "err", err)
}

// refuseDotSegments answers 400 to paths with . or .. in them, encoded ones
// included: an engine's router might resolve what ours passed on.
func refuseDotSegments(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		segments := strings.Split(r.URL.Path, "/")
		if slices.Contains(segments, "..") || slices.Contains(segments, ".") {
			fault.Write(w, r, fault.Plain, fault.New(fault.Invalid, "the path has a dot segment"))
			return
		}
		next.ServeHTTP(w, r)
	})
}
