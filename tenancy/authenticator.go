package tenancy

import (
	"sync/atomic"
	"time"
)

// Authenticator tells who is calling. It is safe for concurrent use.
type Authenticator struct {
	now    func() time.Time
	policy atomic.Pointer[snapshot]
	holds  holds
}

// NewAuthenticator returns an authenticator that decides by p, judging time by now
// (usually time.Now).
func NewAuthenticator(p Policy, now func() time.Time) *Authenticator {
	a := &Authenticator{now: now}
	a.policy.Store(newSnapshot(p, now))
	return a
}

// Swap puts p in force, for requests from now on and for those that are held
// (see [Authenticator.Hold]). What p refers to must not be changed afterwards. What
// [Policy.Validate] finds wrong with p lets nobody in.
func (a *Authenticator) Swap(p Policy) {
	a.policy.Store(newSnapshot(p, a.now))
	a.wake()
}

// Authenticate returns who is calling. Every error is an [*Error].
//
// A token decides, if there is one; else the client certificate, if it stands for
// somebody. A certificate beside a token, and the host, narrow what the token allows to
// one tenant, which must be among the token's.
func (a *Authenticator) Authenticate(c Caller) (Identity, error) {
	shown := credential{host: c.Host, serverName: c.ServerName, certificate: c.Certificate}
	// A header that is there and holds nothing is a mistake, certificate or not.
	if len(c.Authorization) > 0 || c.Certificate == nil {
		token, err := tokenIn(c.Authorization)
		if err != nil {
			return Identity{}, err
		}
		shown.token = token
	}
	s := a.policy.Load()
	id, v, err := s.identify(shown, a.now())
	if err != nil {
		return Identity{}, err
	}
	id.proof = &proof{credential: shown, by: s, verified: v}
	return id, nil
}
