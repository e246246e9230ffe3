package relay

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
)

// grpcCaller is callerOf for a call to the OTLP/gRPC port. gRPC has put what it knows
// of the connection into the context.
func grpcCaller(ctx context.Context, header metadata.MD) tenancy.Caller {
	c := tenancy.Caller{Authorization: header.Get("authorization")}
	if host := header.Get(":authority"); len(host) > 0 {
		c.Host = host[0]
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return c
	}
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		c.ServerName = info.State.ServerName
		if len(info.State.VerifiedChains) > 0 {
			c.Certificate = info.State.PeerCertificates[0]
		}
	}
	return c
}

type callKey struct{}

// call is one call to the OTLP/gRPC port, as the audit log is told of it. gRPC tells
// its events one after another.
type call struct{ record audit.Record }

// withCall remembers a call that was let in. Calls to the public port have an exchange.
func (r *Relay) withCall(ctx context.Context, info *tap.Info, id tenancy.Identity) context.Context {
	if r.opts.Audit == nil {
		return ctx
	}
	return context.WithValue(ctx, callKey{}, &call{r.callRecord(ctx, info, id)})
}

func (r *Relay) callRecord(ctx context.Context, info *tap.Info, id tenancy.Identity) audit.Record {
	rec := audit.Record{Time: r.now(), Identity: id, Method: "POST", Route: info.FullMethodName}
	if host := info.Header.Get(":authority"); len(host) > 0 {
		rec.Host = host[0]
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		rec.Remote = p.Addr.String()
	}
	return rec
}

// recordRefused tells of a call that was not let in.
func (r *Relay) recordRefused(ctx context.Context, info *tap.Info, id tenancy.Identity, err error) {
	if r.opts.Audit == nil {
		return
	}
	rec := r.callRecord(ctx, info, id)
	e := fault.Of(err)
	if e.Kind == fault.WrongMethod { // its name is a stranger's
		rec.Route, rec.Path = "", info.FullMethodName
	}
	rec.Code, rec.Reason = e.Kind.GRPCCode().String(), err.Error()
	r.opts.Audit.Record(&rec)
}

// callStats tells the audit log of the calls that were let in, those that failed before
// they got to a service too.
type callStats struct{ relay *Relay }

// TagRPC implements [stats.Handler].
func (callStats) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements [stats.Handler].
func (s callStats) HandleRPC(ctx context.Context, event stats.RPCStats) {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return
	}
	switch event := event.(type) {
	case *stats.InPayload:
		c.record.In += int64(event.WireLength)
	case *stats.OutPayload:
		c.record.Out += int64(event.WireLength)
	case *stats.End:
		outcome := status.Convert(event.Error)
		c.record.Code = outcome.Code().String()
		if outcome.Code() != codes.OK {
			c.record.Reason = outcome.Message()
		}
		c.record.Took = max(s.relay.now().Sub(c.record.Time), time.Duration(0))
		s.relay.opts.Audit.Record(&c.record)
	}
}

// TagConn implements [stats.Handler].
func (callStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (callStats) HandleConn(context.Context, stats.ConnStats) {}
