package relay

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/ingest"
	"github.com/invoscope/invoscope/relay/invocation"
	"github.com/invoscope/invoscope/relay/rebuild"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
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

// Auditor keeps a record of requests; [audit.Log] is one.
type Auditor interface {
	Record(*audit.Record)
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
	// Audit is told of every request; nil if nobody wants to know.
	Audit Auditor
	// AuditQueries says whether it is told of the text of queries, too; never if nil.
	AuditQueries func() bool

	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Relay serves the table of routes.
type Relay struct {
	opts    Options
	now     func() time.Time
	metrics *metrics
	limits  *limits.Limiter
	grpc    *grpc.Server
	loki    handler
	tempo   handler
	ready   *readiness

	invocations *invocation.API

	public *http.ServeMux
	otlp   *http.ServeMux
	// bodyTimeout and writeTimeout are the constants of these names, shorter in tests.
	bodyTimeout, writeTimeout time.Duration
}

// New returns a relay.
func New(o Options) *Relay {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	limiter := o.Limits
	if limiter == nil {
		limiter = limits.New(limits.Set{}, limits.Options{Registerer: o.Registerer})
	}
	r := &Relay{
		opts: o, now: now, limits: limiter, metrics: newMetrics(o.Registerer),
		ready:  &readiness{loki: o.Loki, tempo: o.Tempo, now: time.Now},
		public: http.NewServeMux(), otlp: http.NewServeMux(), bodyTimeout: bodyTimeout, writeTimeout: writeTimeout,
	}
	r.invocations = invocation.New(invocation.Options{
		Index: o.Index, Loki: o.Loki, Tempo: o.Tempo, TenantKey: o.TenantKey, GrafanaURL: o.GrafanaURL, Now: r.now,
	})
	r.loki = r.relayTo(o.Loki)
	r.tempo = r.relayTo(o.Tempo)
	r.grpc = r.newGRPC()
	o.Ingest.Register(r.grpc, tenantOf)
	for _, route := range Routes() {
		r.handle(r.public, route)
		if route.OTLP {
			r.handle(r.otlp, route)
		}
	}
	r.public.Handle("/", r.nowhere())
	r.otlp.Handle("/", r.nowhere())
	return r
}

// handle enters a route into a port's table.
func (r *Relay) handle(table *http.ServeMux, route Route) {
	h := r.adapt(route)
	for method := range strings.FieldsSeq(route.Methods) {
		table.Handle(method+" "+route.Pattern, h)
	}
	table.Handle(route.Pattern, r.wrongMethod(route))
}

// Public returns the handler of the public port, for HTTP/1.1 and HTTP/2.
func (r *Relay) Public() http.Handler { return r.edge(r.public) }

// OTLP returns the handler of the OTLP/HTTP port.
func (r *Relay) OTLP() http.Handler { return r.edge(r.otlp) }

// GRPC returns the server of the OTLP/gRPC port. Its listener may be one of
// [tls.NewListener] whose configuration names the protocol h2: host names and client
// certificates then count as they do over HTTP.
func (r *Relay) GRPC() *grpc.Server { return r.grpc }
