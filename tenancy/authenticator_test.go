package tenancy

import (
	"crypto/sha256"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAuthenticate(t *testing.T) {
	key, c := openTestKey(t), newClock()
	a := ownAuthenticator(key, c.now)
	token, err := NewSigner(key, c.now).Issue(Grant{Tenant: "acme", Subject: "ci", Scopes: []Scope{LogsRead, TracesWrite}, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{
		Issuer: "invoscope", Tenant: "acme", Subject: "ci", TokenID: token.ID, Scopes: []Scope{LogsRead, TracesWrite},
		Issued: token.IssuedAt, Expires: token.Expires,
	}
	for _, caller := range []Caller{
		bearer(token.Token), // verified
		bearer(token.Token), // cached
		{Authorization: []string{basic("user:" + token.Token)}},
		{Authorization: bearer(token.Token).Authorization, Host: "acme.dev.example.com", ServerName: "b.dev.example.com"},
	} {
		got, err := a.Authenticate(caller)
		if err != nil {
			t.Fatal(err)
		}
		sameIdentity(t, want, got)
	}
	if want.Expires.Sub(want.Issued) != time.Hour || !want.Issued.Equal(c.now()) {
		t.Errorf("issued %s, expires %s", want.Issued, want.Expires)
	}
	if !want.Allows(LogsRead) || want.Allows(LogsWrite) || want.Allows(Admin) {
		t.Errorf("wrong permissions %v", want.Scopes)
	}
}

func TestGrantComesBack(t *testing.T) {
	key, c := openTestKey(t), newClock()
	a := ownAuthenticator(key, c.now)
	for name, tt := range map[string]struct {
		grant Grant
		want  Identity
	}{
		"one":             {Grant{Tenant: "acme", Scopes: Scopes()}, Identity{Tenant: "acme", Scopes: Scopes()}},
		"several":         {Grant{Tenants: []string{"a", "b"}}, Identity{Reads: []string{"a", "b"}, Scopes: []Scope{LogsRead}}},
		"one and several": {Grant{Tenant: "acme", Tenants: []string{"a"}}, Identity{Tenant: "acme", Reads: []string{"acme", "a"}, Scopes: []Scope{LogsRead}}},
		"all":             {Grant{Tenants: []string{"*"}}, Identity{ReadsAll: true, Scopes: []Scope{LogsRead}}},
		"64":              {Grant{Tenants: manyTenants(64)}, Identity{Reads: manyTenants(64), Scopes: []Scope{LogsRead}}},
	} {
		got, err := a.Authenticate(bearer(issue(t, key, c.now, tt.grant)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got.Issuer, got.TokenID, got.Issued, got.Expires = "", "", time.Time{}, time.Time{}
		sameIdentity(t, tt.want, got)
	}
}

// The cache must not keep a token alive.
func TestLifetime(t *testing.T) {
	key, c := openTestKey(t), newClock()
	a := ownAuthenticator(key, c.now)
	token := issue(t, key, c.now, Grant{Tenant: "acme", Life: time.Minute})
	steps := []struct {
		advance time.Duration
		want    Reason
	}{
		{-leeway - time.Second, NotYetValid},
		{2 * time.Second, ""},         // just inside the leeway before nbf
		{leeway, ""},                  // valid, cached from here on
		{time.Minute - leeway, ""},    // still valid
		{leeway + 28*time.Second, ""}, // past exp, inside the leeway
		{2 * time.Second, Expired},
		{24 * time.Hour, Expired},
	}
	for _, step := range steps {
		c.advance(step.advance)
		_, err := a.Authenticate(bearer(token))
		wantReason(t, err, step.want)
	}
}

// A key that is accepted until some time ends what it signed, cached or not.
func TestKeyUntil(t *testing.T) {
	key, c := openTestKey(t), newClock()
	public := key.Public()
	public.Until = c.now().Add(time.Minute)
	a := NewAuthenticator(Policy{Issuers: []Issuer{Own(oneKey(public))}}, c.now)
	token := issue(t, key, c.now, Grant{Tenant: "acme", Life: time.Hour})
	for _, want := range []Reason{"", "", BadSignature} {
		_, err := a.Authenticate(bearer(token))
		wantReason(t, err, want)
		c.advance(30 * time.Second)
	}
}

func TestRevokedTokenInTheCache(t *testing.T) {
	key, c := openTestKey(t), newClock()
	policy := Policy{Issuers: []Issuer{Own(key.Keys())}}
	a := NewAuthenticator(policy, c.now)
	token := issue(t, key, c.now, Grant{Tenant: "acme", Subject: "ci"})
	for range 2 {
		_, err := a.Authenticate(bearer(token))
		wantReason(t, err, "")
	}
	policy.Revocations = []Revocation{{Subject: "ci"}}
	a.Swap(policy)
	_, err := a.Authenticate(bearer(token))
	wantReason(t, err, Revoked)
	policy.Revocations, policy.Issuers = nil, nil
	a.Swap(policy)
	_, err = a.Authenticate(bearer(token))
	wantReason(t, err, WrongIssuer)
}

// A key that its set takes away takes the tokens in the cache with it.
func TestKeyTakenAway(t *testing.T) {
	key, c := openTestKey(t), newClock()
	set := &keySet{keys: []PublicKey{key.Public()}}
	a := NewAuthenticator(Policy{Issuers: []Issuer{Own(set)}}, c.now)
	token := issue(t, key, c.now, Grant{Tenant: "acme"})
	for range 3 {
		_, err := a.Authenticate(bearer(token))
		wantReason(t, err, "")
	}
	if len(set.asked) != 1 {
		t.Errorf("asked for a key %d times, want once", len(set.asked))
	}
	set.set(openTestKey(t).Public())
	_, err := a.Authenticate(bearer(token))
	wantReason(t, err, BadSignature)
	set.set(key.Public())
	for range 3 {
		_, err = a.Authenticate(bearer(token))
		wantReason(t, err, "")
	}
	if len(set.asked) != 3 {
		t.Errorf("asked for a key %d times, want once for each change", len(set.asked))
	}
}

func TestCacheIsBounded(t *testing.T) {
	now := time.Now()
	var c cache
	remembered := func() (n int) {
		for s := range c.sets {
			for w := range c.sets[s] {
				if c.sets[s][w].Load() != nil {
					n++
				}
			}
		}
		return n
	}
	sums := make([][sha256.Size]byte, 4*cacheSets*cacheWays)
	for i := range sums {
		sums[i] = sha256.Sum256([]byte(strconv.Itoa(i)))
		c.add(&sums[i], &verified{until: now.Add(time.Hour)}, now)
		if c.get(&sums[i], now) == nil {
			t.Fatalf("entry %d is lost at once", i)
		}
	}
	if n := remembered(); n != cacheSets*cacheWays {
		t.Errorf("%d entries, want %d", n, cacheSets*cacheWays)
	}
	if c.get(&sums[len(sums)-1], now.Add(time.Hour)) != nil {
		t.Error("an entry outlived its time")
	}
}

// The token that is used must not be pushed out by those that aren't.
func TestCacheKeepsWhatIsUsed(t *testing.T) {
	now := time.Now()
	var c cache
	sum := func(i int) *[sha256.Size]byte { // all in one set
		return &[sha256.Size]byte{31: byte(i), 30: byte(i >> 8)}
	}
	used := &verified{}
	c.add(sum(0), used, now)
	for i := range 1000 {
		now = now.Add(time.Second)
		if c.get(sum(0), now) != used {
			t.Fatalf("lost after %d others", i)
		}
		c.add(sum(i+1), &verified{}, now)
	}
	// Added again, it takes its own place.
	again := &verified{}
	c.add(sum(0), again, now)
	kept := 0
	for i := range c.sets[0] {
		if c.sets[0][i].Load().verified != again {
			kept++
		}
	}
	if c.get(sum(0), now) != again || kept != cacheWays-1 {
		t.Errorf("%d others kept, want %d", kept, cacheWays-1)
	}
}

func TestRefusedTokensAreNotKept(t *testing.T) {
	key, c := openTestKey(t), newClock()
	a := ownAuthenticator(key, c.now)
	for _, token := range []string{
		"junk", issue(t, openTestKey(t), c.now, Grant{Tenant: "acme"}),
		signed(t, key, c.now, func(cl *claims) { cl.Audience = []string{"else"} }),
	} {
		if _, err := a.Authenticate(bearer(token)); err == nil {
			t.Fatal("accepted")
		}
	}
	cache := &a.policy.Load().cache
	for s := range cache.sets {
		for w := range cache.sets[s] {
			if cache.sets[s][w].Load() != nil {
				t.Fatal("something was kept")
			}
		}
	}
}

// Requests, swaps and holds beside each other: for the race detector, and for a token
// that gets another's identity.
func TestConcurrently(t *testing.T) {
	key := openTestKey(t)
	synctest.Test(t, func(t *testing.T) {
		policy := Policy{Issuers: []Issuer{Own(key.Keys())}}
		a := NewAuthenticator(policy, time.Now)
		var tokens []string
		for i := range 8 {
			tokens = append(tokens, issue(t, key, time.Now, Grant{Tenant: "t" + strconv.Itoa(i)}))
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					for i, token := range tokens {
						id, err := a.Authenticate(bearer(token))
						if err != nil || id.Tenant != "t"+strconv.Itoa(i) {
							t.Errorf("token %d: tenant %q, %v", i, id.Tenant, err)
						}
						ctx, cancel := a.Hold(t.Context(), id)
						if ctx.Err() != nil {
							t.Errorf("token %d: %v", i, ctx.Err())
						}
						cancel()
					}
				}
			})
		}
		wg.Go(func() {
			for range 100 {
				a.Swap(policy)
			}
		})
		wg.Wait()
		if a.holds.timer != nil || len(a.holds.all) != 0 {
			t.Errorf("%d holds are left", len(a.holds.all))
		}
	})
}
