package relay

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // registers gzip for requests
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/ingest"
	"github.com/invoscope/invoscope/tenancy"
)

// What one connection to the OTLP/gRPC port may cost. Exporters send one batch
// after another over one connection, so these leave them room.
const (
	grpcStreams     = 256
	grpcHeaderBytes = 64 << 10
	grpcHandshake   = 10 * time.Second
	grpcIdle        = 5 * time.Minute
	// grpcPing is how often we look whether a client is still there, and
	// grpcMinPing how often clients may do the same: exporters that are told to
	// do so ask every 10 to 30 seconds.
	grpcPing    = time.Minute
	grpcMinPing = 10 * time.Second
)

// newGRPC returns the server of the gRPC methods that aren't relayed. The public
// port hands calls to it that are authorized by then. On a port of its own its
// tap does that, by the same table: interceptors run after the message has been
// decompressed and decoded, which is too late for strangers.
func (r *Relay) newGRPC() *grpc.Server {
	return grpc.NewServer(
		grpc.Creds(newConnCredentials()),
		grpc.InTapHandle(r.tap(grpcScopes())),
		grpc.UnaryInterceptor(r.intercept),
		grpc.StatsHandler(callStats{r}),
		grpc.ForceServerCodecV2(ingest.NewCodec()),
		grpc.MaxRecvMsgSize(int(min(r.opts.MaxBytes, math.MaxInt32))),
		grpc.MaxConcurrentStreams(grpcStreams),
		grpc.MaxHeaderListSize(grpcHeaderBytes),
		grpc.ConnectionTimeout(grpcHandshake),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: grpcIdle, Time: grpcPing}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: grpcMinPing, PermitWithoutStream: true}),
	)
}

// grpcScopes returns what the methods of the OTLP/gRPC port need. The table's other gRPC
// methods are relayed, on the public port.
func grpcScopes() map[string]tenancy.Scope {
	scopes := map[string]tenancy.Scope{}
	for _, route := range Routes() {
		if route.Shape == fault.GRPC && route.Scope.Writes() {
			scopes[route.Pattern] = route.Scope
		}
	}
	return scopes
}

// tap returns what authorizes a call when its headers have come and nothing else
// has been read. gRPC runs it in the connection's goroutine, one call at a time.
func (r *Relay) tap(scopes map[string]tenancy.Scope) tap.ServerInHandle {
	return func(ctx context.Context, call *tap.Info) (_ context.Context, err error) {
		defer r.recoverCall(ctx, call.FullMethodName, &err)
		scope, listed := scopes[call.FullMethodName]
		if !listed {
			r.recordRefused(ctx, call, tenancy.Identity{}, fault.New(fault.WrongMethod, "this method is not served"))
			return ctx, status.Error(codes.Unimplemented, "this method is not served")
		}
		id, err := r.authorize(grpcCaller(ctx, call.Header), scope)
		if err == nil && scope.Writes() {
			err = r.writes(ctx, id)
		}
		if err != nil {
			r.logRefusal(ctx, call.FullMethodName, id, err)
			r.recordRefused(ctx, call, id, err)
			return ctx, fault.Status(err).Err()
		}
		return r.withCall(withIdentity(r.heldCall(ctx, id), id), call, id), nil
	}
}

// heldCall is the context of a call that ends with its token: a message may come long
// after the headers.
func (r *Relay) heldCall(ctx context.Context, id tenancy.Identity) context.Context {
	held, release := r.opts.Authenticator.Hold(ctx, id)
	context.AfterFunc(held, release) // when its stream ends, too
	return held
}

// intercept lets no call without an identity through to a service, whichever way
// it came, and outlives a service that panics.
func (r *Relay) intercept(ctx context.Context, req any, call *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
	defer r.recoverCall(ctx, call.FullMethod, &err)
	if _, err := tenantOf(ctx); err != nil {
		r.logRefusal(ctx, call.FullMethod, tenancy.Identity{}, err)
		return nil, fault.Status(err).Err()
	}
	if err := cutOff(ctx); err != nil {
		r.logRefusal(ctx, call.FullMethod, tenancy.Identity{}, err)
		return nil, fault.Status(err).Err()
	}
	return next(ctx, req)
}

// recoverCall, deferred, turns a panic into the call's error. Unlike net/http,
// gRPC would let it end the daemon.
func (r *Relay) recoverCall(ctx context.Context, method string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	r.opts.Log.ErrorContext(ctx, "a gRPC call panicked", "route", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	*err = status.Error(codes.Internal, "internal error")
}

// otlpGRPC serves OTLP's gRPC methods on the public port.
func otlpGRPC(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		r.grpc.ServeHTTP(w, req.WithContext(withIdentity(req.Context(), id)))
		return nil
	}
}
