package relay

import (
	"context"
	"errors"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
)

// authorize returns who is calling, given the values of the Authorization
// header, when that caller may do what scope allows. The client is told no more
// than it needs; the reason goes to the log.
func (r *Relay) authorize(authorization []string, scope tenancy.Scope) (tenancy.Identity, error) {
	token, err := tenancy.TokenFromAuthorization(authorization)
	if err != nil {
		return tenancy.Identity{}, r.unauthenticated(err)
	}
	id, err := r.opts.Verifier.Verify(token)
	if err != nil {
		return tenancy.Identity{}, r.unauthenticated(err)
	}
	if !id.Allows(scope) {
		r.metrics.denied.WithLabelValues("scope").Inc()
		return id, fault.New(fault.Forbidden, "the token lacks the scope "+string(scope))
	}
	return id, nil
}

func (r *Relay) unauthenticated(cause error) error {
	reason := tenancy.ReasonOf(cause)
	r.metrics.denied.WithLabelValues(string(reason)).Inc()
	message := "the token is not valid"
	if reason == tenancy.Missing {
		message = "a bearer token is needed"
	}
	return &fault.Error{Kind: fault.Unauthenticated, Message: message, Cause: cause}
}

type identityKey struct{}

func withIdentity(ctx context.Context, id tenancy.Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

func identityFrom(ctx context.Context) (tenancy.Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(tenancy.Identity)
	return id, ok
}

// tenantOf returns the tenant of a gRPC call that the interceptor let through.
func tenantOf(ctx context.Context) (string, error) {
	id, ok := identityFrom(ctx)
	if !ok {
		return "", errors.New("a call reached its service without an identity")
	}
	return id.Tenant, nil
}
