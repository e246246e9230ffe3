package relay

import (
	"context"
	"errors"
	"net/http"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
)

// callerOf returns what a request says of who sends it.
func callerOf(req *http.Request) tenancy.Caller {
	c := tenancy.Caller{Authorization: req.Header["Authorization"], Host: req.Host}
	if req.TLS != nil {
		c.ServerName = req.TLS.ServerName
		if len(req.TLS.VerifiedChains) > 0 {
			c.Certificate = req.TLS.PeerCertificates[0]
		}
	}
	return c
}

// authorize returns who is calling, when that caller may do what scope allows. The
// client is told no more than it needs; the reason goes to the log. Beside an error the
// identity is whose credential was refused, if anything vouches for that, for the log too.
func (r *Relay) authorize(caller tenancy.Caller, scope tenancy.Scope) (tenancy.Identity, error) {
	id, err := r.opts.Authenticator.Authenticate(caller)
	if err != nil {
		return tenancy.BearerOf(err), r.unauthenticated(err)
	}
	if !id.Allows(scope) {
		r.metrics.denied.WithLabelValues("scope").Inc()
		return id, fault.New(fault.Forbidden, "the token lacks the scope "+string(scope))
	}
	return id, nil
}

// invalidToken is what a client learns of a credential that was refused.
const invalidToken = "the token is not valid"

func (r *Relay) unauthenticated(cause error) error {
	reason := tenancy.ReasonOf(cause)
	r.metrics.denied.WithLabelValues(string(reason)).Inc()
	switch reason {
	case tenancy.Missing:
		return &fault.Error{Kind: fault.Unauthenticated, Message: "a bearer token is needed", Cause: cause}
	case tenancy.WrongHost, tenancy.WrongCertificate: // it is valid, elsewhere
		return &fault.Error{Kind: fault.Forbidden, Message: invalidToken, Cause: cause}
	}
	return &fault.Error{Kind: fault.Unauthenticated, Message: invalidToken, Cause: cause}
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
