package relay

import (
	"context"
	"math"
	"net/http"

	_ "github.com/mostynb/go-grpc-compression/nonclobbering/zstd" // registers zstd for requests
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // registers gzip for requests
	"google.golang.org/grpc/metadata"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
)

// newGRPC returns the server of the gRPC methods that aren't relayed. The public
// port hands calls to it that are authorized by then; on a port of its own its
// interceptor does that, by the same table.
func (r *Relay) newGRPC() *grpc.Server {
	scopes := map[string]tenancy.Scope{}
	for _, route := range Routes() {
		if route.Shape == fault.GRPC {
			scopes[route.Pattern] = route.Scope
		}
	}
	intercept := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if _, known := identityFrom(ctx); known {
			return next(ctx, req)
		}
		scope, listed := scopes[info.FullMethod]
		if !listed {
			return nil, fault.Status(fault.New(fault.Forbidden, "this method is not served")).Err()
		}
		md, _ := metadata.FromIncomingContext(ctx)
		id, err := r.authorize(md.Get("authorization"), scope)
		if err != nil {
			r.logRefusal(ctx, info.FullMethod, id, err)
			return nil, fault.Status(err).Err()
		}
		return next(withIdentity(ctx, id), req)
	}
	return grpc.NewServer(
		grpc.UnaryInterceptor(intercept),
		grpc.MaxRecvMsgSize(int(min(r.opts.MaxBytes, math.MaxInt32))),
	)
}

// otlpGRPC serves OTLP's gRPC methods on the public port.
func otlpGRPC(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		r.grpc.ServeHTTP(w, req.WithContext(withIdentity(req.Context(), id)))
		return nil
	}
}
