package tenancy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// recheckEvery is how often the keys of those who are held are looked at.
const recheckEvery = 500 * time.Millisecond

// proof is on what an [Identity] rests: enough to ask again.
type proof struct {
	credential
	by *snapshot
	*verified
}

// hold is a request that may outlive its token.
type hold struct {
	id     Identity
	proof  atomic.Pointer[proof] // nil if no authenticator vouches for id
	cancel context.CancelCauseFunc
	expiry *time.Timer // nil: never
}

// holds are those of one authenticator. A timer runs while there are any.
type holds struct {
	mu    sync.Mutex
	all   map[*hold]struct{}
	timer *time.Timer
}

// Hold returns a context for a request that may outlive its token: it ends when the
// token expires, and when a policy or keys come into force by which the token is not
// accepted, or not for all that id may do. The cause is then an [*Error]. A leeway is for
// the clocks of those who make tokens: here it doesn't count.
//
// The end comes at once when the time of the token or its key is over and, but for the
// time that a [KeySet] takes, after [Authenticator.Swap]; within a second when a KeySet
// takes a key away. Cancel the context when the request is over.
//
// For an identity that no authenticator made, only its time counts.
func (a *Authenticator) Hold(ctx context.Context, id Identity) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	h := &hold{id: id, cancel: cancel}
	h.proof.Store(id.proof)
	if until := h.until(); !until.IsZero() {
		left := until.Sub(a.now())
		if left <= 0 {
			cancel(&Error{Reason: Expired})
			return ctx, func() {}
		}
		// It only cancels: h.expiry may not be set yet when it does.
		h.expiry = time.AfterFunc(left, func() { cancel(&Error{Reason: Expired}) })
	}
	a.holds.add(h, a.recheck)
	// In case that a policy came into force since id was found out.
	if id.proof != nil && id.proof.by != a.policy.Load() {
		a.wake()
	}
	return ctx, func() { a.end(h, context.Canceled) }
}

// until returns when the identity's time is over; zero is never.
func (h *hold) until() time.Time {
	until := h.id.Expires
	if p := h.proof.Load(); p != nil && !p.until.IsZero() && (until.IsZero() || p.until.Before(until)) {
		until = p.until
	}
	return until
}

func (a *Authenticator) end(h *hold, cause error) {
	h.cancel(cause)
	if h.expiry != nil {
		h.expiry.Stop()
	}
	a.holds.remove(h)
}

func (h *holds) add(one *hold, recheck func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[*hold]struct{}{}
	}
	h.all[one] = struct{}{}
	if h.timer == nil {
		h.timer = time.AfterFunc(recheckEvery, recheck)
	}
}

func (h *holds) remove(one *hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, one)
	if len(h.all) == 0 && h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
}

// wake has those who are held looked at now.
func (a *Authenticator) wake() {
	a.holds.mu.Lock()
	defer a.holds.mu.Unlock()
	if a.holds.timer != nil {
		a.holds.timer.Reset(0)
	}
}

// next sets the timer anew, and returns those who are held.
func (h *holds) next() []*hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer == nil {
		return nil
	}
	h.timer.Reset(recheckEvery)
	all := make([]*hold, 0, len(h.all))
	for one := range h.all {
		all = append(all, one)
	}
	return all
}

// recheck ends the holds whose time is over, for the clock may have been set, and those
// that are refused by what is now in force. It may run beside itself: a [KeySet] can make
// one wait while the next has a policy to see to.
func (a *Authenticator) recheck() {
	current, now := a.policy.Load(), a.now()
	var stale []*hold
	for _, h := range a.holds.next() {
		p := h.proof.Load()
		until := h.until()
		switch {
		case !until.IsZero() && !now.Before(until):
			a.end(h, &Error{Reason: Expired})
		case p == nil || p.by == current && (p.keys == nil || p.keys.Generation() == p.generation):
		case p.by != current && current.revocations.revoked(&p.verified.id):
			a.end(h, &Error{Reason: Revoked})
		default:
			stale = append(stale, h)
		}
	}
	// Only now those that may wait for keys.
	for _, h := range stale {
		if err := h.judge(current, now); err != nil {
			a.end(h, err)
		}
	}
}

// judge returns why the one who is held is refused by current.
func (h *hold) judge(current *snapshot, now time.Time) error {
	p := h.proof.Load()
	id, v, err := current.identify(p.credential, now)
	if err != nil {
		return err
	}
	if !id.covers(&h.id) {
		return refused(Revoked, "no longer allows what it did")
	}
	h.proof.Store(&proof{credential: p.credential, by: current, verified: v})
	return nil
}
