package relay

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
)

// handler serves a request whose caller is known; it is the zero Identity on
// routes that are open. An error means that nothing has been written, or that what
// was written must not be taken for the whole answer.
type handler func(w http.ResponseWriter, r *http.Request, id tenancy.Identity) error

// adapt is the one place where a route's requirements are checked and its errors
// written. In this order: the request is one that the route could answer; it is known
// who sends it, to this host; the token's scopes suffice; the tenant's limits allow
// it; the token lasts as long as the answer. Whatever comes of it is audited and counted.
func (r *Relay) adapt(route Route) http.Handler {
	serve := r.admitted(route, r.held(route, route.serve(r)))
	nowhere := r.nowhere()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !spelled(route.Pattern, req.URL.EscapedPath()) {
			nowhere.ServeHTTP(w, req)
			return
		}
		x := r.exchange(route, w, req)
		defer x.finish()
		err := checkShape(route, req)
		if err != nil {
			x.route.Shape = fault.Plain // who asks doesn't speak gRPC
		}
		if err == nil && route.Scope != "" {
			x.id, err = r.authorize(callerOf(req), route.Scope)
		}
		if err == nil {
			err = serve(x, x.request(), x.id)
		}
		x.conclude(err)
	})
}

// wrongMethod answers requests to a route by methods it doesn't have.
func (r *Relay) wrongMethod(route Route) http.Handler {
	allow := strings.Join(strings.Fields(route.Methods), ", ")
	nowhere := r.nowhere()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !spelled(route.Pattern, req.URL.EscapedPath()) {
			nowhere.ServeHTTP(w, req)
			return
		}
		w.Header().Set("Allow", allow)
		r.refuse(w, req, fault.New(fault.WrongMethod, "the method is not allowed here"))
	})
}

// nowhere answers requests that no route is for.
func (r *Relay) nowhere() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.refuse(w, req, fault.New(fault.NotFound, "there is nothing here"))
	})
}

// refuse answers a request that gets to no route.
func (r *Relay) refuse(w http.ResponseWriter, req *http.Request, err error) {
	x := r.exchange(Route{}, w, req)
	defer x.finish()
	x.conclude(err)
}

// checkShape keeps plain HTTP away from gRPC methods.
func checkShape(route Route, req *http.Request) error {
	if route.Shape == fault.GRPC && !isGRPC(req) {
		return fault.New(fault.UnsupportedMedia, "this is a gRPC method")
	}
	return nil
}

func isGRPC(req *http.Request) bool {
	return req.ProtoMajor == 2 && strings.HasPrefix(req.Header.Get("Content-Type"), "application/grpc")
}

// logRefusal tells of a refused request. Strangers could fill the log with theirs, and so
// could a tenant over its limits, who is told to come back: both are counted.
func (r *Relay) logRefusal(ctx context.Context, route string, id tenancy.Identity, err error) {
	level := slog.LevelInfo
	switch fault.Of(err).Kind {
	case fault.Internal:
		level = slog.LevelError
	case fault.Unauthenticated, fault.Limited:
		level = slog.LevelDebug
	}
	if id.Issuer == "" && id.Tenant == "" && level < slog.LevelError {
		level = slog.LevelDebug
	}
	r.opts.Log.Log(ctx, level, "request refused", "route", route, "tenant", id.Tenant, "err", err)
}
