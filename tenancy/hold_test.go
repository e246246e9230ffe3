package tenancy

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// holdTest is a policy in force and what a hold test does with it.
type holdTest struct {
	*testing.T
	key    *Key
	set    *keySet
	policy Policy
	a      *Authenticator
}

func holding(t *testing.T, test func(h *holdTest)) {
	t.Helper()
	key := openTestKey(t)
	synctest.Test(t, func(t *testing.T) {
		set := &keySet{keys: []PublicKey{key.Public()}}
		policy := Policy{Issuers: []Issuer{Own(set)}, HostSuffix: testSuffix}
		h := &holdTest{T: t, key: key, set: set, policy: policy, a: NewAuthenticator(policy, time.Now)}
		test(h)
		if n := h.count(); n != 0 {
			t.Errorf("%d holds are left", n)
		}
	})
}

// count returns how many are held, or -1 if there are none but the timer runs.
func (h *holdTest) count() int {
	h.a.holds.mu.Lock()
	defer h.a.holds.mu.Unlock()
	if len(h.a.holds.all) == 0 && h.a.holds.timer != nil {
		return -1
	}
	return len(h.a.holds.all)
}

// hold authenticates and holds.
func (h *holdTest) hold(c Caller) (context.Context, context.CancelFunc) {
	h.Helper()
	id, err := h.a.Authenticate(c)
	if err != nil {
		h.Fatal(err)
	}
	return h.a.Hold(h.Context(), id)
}

func (h *holdTest) issue(g Grant) Caller {
	h.Helper()
	return bearer(issue(h, h.key, time.Now, g))
}

// held fails unless ctx is still held after d.
func (h *holdTest) held(ctx context.Context, d time.Duration) {
	h.Helper()
	<-time.After(d)
	synctest.Wait()
	if ctx.Err() != nil {
		h.Fatalf("ended: %v", context.Cause(ctx))
	}
}

// ended fails unless ctx ends within d, for this reason.
func (h *holdTest) ended(ctx context.Context, d time.Duration, want Reason) {
	h.Helper()
	<-time.After(d)
	synctest.Wait()
	if ctx.Err() == nil {
		h.Fatalf("still held after %s", d)
	}
	wantReason(h, context.Cause(ctx), want)
}

func TestStreamOutlivesItsToken(t *testing.T) {
	holding(t, func(h *holdTest) {
		caller := h.issue(Grant{Tenant: "acme", Life: time.Minute})
		// So that it doesn't end when all holds are looked at anyway.
		<-time.After(200 * time.Millisecond)
		ctx, cancel := h.hold(caller)
		defer cancel()
		h.held(ctx, time.Minute-201*time.Millisecond)
		h.ended(ctx, time.Millisecond, Expired)
		// For one that begins when its token is over but for the leeway.
		ctx, cancel = h.hold(h.issue(Grant{Tenant: "acme", Life: time.Minute}))
		cancel()
		<-ctx.Done()
		caller = h.issue(Grant{Tenant: "acme", Life: time.Second})
		<-time.After(2 * time.Second)
		ctx, cancel = h.hold(caller)
		defer cancel()
		h.ended(ctx, 0, Expired)
	})
}

func TestHoldEndsAtSwap(t *testing.T) {
	tests := map[string]struct {
		change func(*holdTest, *Policy)
		want   Reason // empty: stays
	}{
		"the same":        {func(*holdTest, *Policy) {}, ""},
		"another revoked": {func(_ *holdTest, p *Policy) { p.Revocations = []Revocation{{Subject: "else"}} }, ""},
		"revoked":         {func(_ *holdTest, p *Policy) { p.Revocations = []Revocation{{Subject: "ci"}} }, Revoked},
		"tenant revoked":  {func(_ *holdTest, p *Policy) { p.Revocations = []Revocation{{Tenant: "b"}} }, Revoked},
		"issuer gone":     {func(_ *holdTest, p *Policy) { p.Issuers = nil }, WrongIssuer},
		"key gone":        {func(h *holdTest, p *Policy) { p.Issuers = []Issuer{Own(openTestKey(h).Keys())} }, BadSignature},
		"same key anew":   {func(h *holdTest, p *Policy) { p.Issuers = []Issuer{Own(h.key.Keys())} }, ""},
		"other audience":  {func(h *holdTest, p *Policy) { i := Own(h.set); i.Audiences = []string{"x"}; p.Issuers = []Issuer{i} }, WrongAudience},
		"other algorithms": {func(h *holdTest, p *Policy) {
			i := Own(h.set)
			i.Algorithms = []string{"ES256"}
			p.Issuers = []Issuer{i}
		}, BadSignature},
		"other scope claim": {func(h *holdTest, p *Policy) { i := Own(h.set); i.Claims.Scope = "scp"; p.Issuers = []Issuer{i} }, Revoked},
		"fewer tenants":     {func(h *holdTest, p *Policy) { i := Own(h.set); i.Claims.Tenants = ""; p.Issuers = []Issuer{i} }, Revoked},
		"hosts not bound":   {func(_ *holdTest, p *Policy) { p.HostSuffix = "" }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			holding(t, func(h *holdTest) {
				ctx, cancel := h.hold(h.issue(Grant{Tenant: "acme", Tenants: []string{"b"}, Subject: "ci"}))
				defer cancel()
				h.held(ctx, time.Minute)
				p := h.policy
				tt.change(h, &p)
				h.a.Swap(p)
				if tt.want == "" {
					h.held(ctx, time.Minute)
				} else {
					h.ended(ctx, time.Millisecond, tt.want)
				}
			})
		})
	}
}

// One who isn't from an authenticator is held for its time.
func TestHoldWithoutProof(t *testing.T) {
	holding(t, func(h *holdTest) {
		ctx, cancel := h.a.Hold(h.Context(), Identity{Tenant: "acme", Expires: time.Now().Add(time.Hour)})
		defer cancel()
		h.a.Swap(Policy{})
		h.held(ctx, time.Hour-time.Second)
		h.ended(ctx, time.Second, Expired)
	})
}

// When the clock is set, it counts.
func TestHoldMindsTheClock(t *testing.T) {
	key := openTestKey(t)
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		a := ownAuthenticator(key, c.now)
		id, err := a.Authenticate(bearer(issue(t, key, c.now, Grant{Tenant: "acme", Life: time.Hour})))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := a.Hold(t.Context(), id)
		defer cancel()
		c.advance(2 * time.Hour)
		<-time.After(time.Second)
		wantReason(t, context.Cause(ctx), Expired)
	})
}

// Many holds need no goroutine each, and leave nothing behind.
func TestManyHolds(t *testing.T) {
	holding(t, func(h *holdTest) {
		before := runtime.NumGoroutine()
		var contexts []context.Context
		var cancels []context.CancelFunc
		for i := range 1000 {
			ctx, cancel := h.hold(h.issue(Grant{Tenant: "t" + strconv.Itoa(i%10), Subject: strconv.Itoa(i)}))
			contexts, cancels = append(contexts, ctx), append(cancels, cancel)
		}
		if n := runtime.NumGoroutine() - before; n > 10 {
			h.Errorf("%d goroutines for 1000 holds", n)
		}
		h.policy.Revocations = []Revocation{{Tenant: "t3"}}
		h.a.Swap(h.policy)
		<-time.After(time.Millisecond)
		synctest.Wait()
		for i, ctx := range contexts {
			if want := i%10 == 3; (ctx.Err() != nil) != want {
				h.Fatalf("hold %d: %v", i, context.Cause(ctx))
			}
		}
		if n := h.count(); n != 900 {
			h.Errorf("%d are held, want 900", n)
		}
		for _, cancel := range cancels {
			cancel()
			cancel() // once more does nothing
		}
	})
}

// The end of the request's own context is its own.
func TestHoldEndsWithItsParent(t *testing.T) {
	holding(t, func(h *holdTest) {
		id, err := h.a.Authenticate(h.issue(Grant{Tenant: "acme"}))
		if err != nil {
			h.Fatal(err)
		}
		parent, cancelParent := context.WithCancel(h.Context())
		ctx, cancel := h.a.Hold(parent, id)
		cancelParent()
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			h.Errorf("cause %v", cause)
		}
		cancel()
	})
}
