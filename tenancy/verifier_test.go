package tenancy

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVerify(t *testing.T) {
	key, c := openTestKey(t), newClock()
	v := NewVerifier(key.Public(), c.now)
	token := issue(t, key, c.now, Grant{Tenant: "acme", Subject: "ci", Scopes: []Scope{LogsRead, TracesWrite}, Life: time.Hour})
	want := Identity{Tenant: "acme", Subject: "ci", Scopes: []Scope{LogsRead, TracesWrite}, Expires: c.now().Add(time.Hour)}
	for _, from := range []string{"parsed", "cached"} {
		got, err := v.Verify(token)
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		if got.TokenID == "" {
			t.Errorf("%s: no token id", from)
		}
		got.TokenID = ""
		if !got.Expires.Equal(want.Expires) {
			t.Errorf("%s: expires %s, want %s", from, got.Expires, want.Expires)
		}
		got.Expires = want.Expires
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", from, diff)
		}
		if !got.Allows(LogsRead) || got.Allows(LogsWrite) || got.Allows(Admin) {
			t.Errorf("%s: wrong permissions %v", from, got.Scopes)
		}
	}
}

// A token from a newer Invoscope may carry scopes that this one doesn't know.
func TestVerifyIgnoresUnknownScopes(t *testing.T) {
	key, c := openTestKey(t), newClock()
	token := signed(t, key, c.now, func(cl *claims) { cl.Scope = "  future:scope logs:read\tlogs:read LOGS:WRITE" })
	got, err := NewVerifier(key.Public(), c.now).Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Scope{LogsRead}, got.Scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
}

// The cache must not keep a token alive.
func TestVerifyLifetime(t *testing.T) {
	key, c := openTestKey(t), newClock()
	v := NewVerifier(key.Public(), c.now)
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
		_, err := v.Verify(token)
		wantReason(t, err, step.want)
	}
}

func TestVerifyCacheIsBounded(t *testing.T) {
	key, c := openTestKey(t), newClock()
	v := NewVerifier(key.Public(), c.now)
	for range 10 {
		if _, err := v.Verify("junk"); err == nil {
			t.Fatal("accepted junk")
		}
	}
	if n := v.cache.Len(); n != 0 {
		t.Errorf("%d refused tokens were remembered", n)
	}
	for i := range cacheSize + 10 {
		v.cache.Add([32]byte{byte(i), byte(i >> 8)}, Identity{})
	}
	if n := v.cache.Len(); n != cacheSize {
		t.Errorf("the cache holds %d entries, want %d", n, cacheSize)
	}
}

func TestVerifyConcurrently(t *testing.T) {
	key, c := openTestKey(t), newClock()
	v := NewVerifier(key.Public(), c.now)
	var tokens []string
	for i := range 8 {
		tokens = append(tokens, issue(t, key, c.now, Grant{Tenant: "t" + strconv.Itoa(i)}))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i, token := range tokens {
				if id, err := v.Verify(token); err != nil || id.Tenant != "t"+strconv.Itoa(i) {
					t.Errorf("token %d: tenant %q, %v", i, id.Tenant, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkVerify(b *testing.B) {
	key := openTestKey(b)
	token := issue(b, key, time.Now, Grant{Tenant: "acme", Scopes: Scopes()})
	v := NewVerifier(key.Public(), time.Now)
	for name, verify := range map[string]func(string) (Identity, error){"cached": v.Verify, "uncached": v.check} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
