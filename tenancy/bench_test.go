package tenancy

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkAuthenticate is one request of a token of some 300 to 800 bytes.
func BenchmarkAuthenticate(b *testing.B) {
	keys := testKeys(b)
	for _, algorithm := range Algorithms() {
		issuer := issuerOf(PublicKey{ID: "key-1", Key: keys[algorithm].public}, algorithm)
		caller := bearer(mint(b, algorithm, keys[algorithm].private, `{"alg":"`+algorithm+`","typ":"JWT","kid":"key-1"}`,
			payloadFor(time.Now(), `,"tenant":"acme","scope":"logs:read traces:read invocations:read","realm_access":{"roles":["viewer","offline_access"]}`)))
		policy := Policy{Issuers: []Issuer{issuer}}
		b.Run("cached/"+algorithm, func(b *testing.B) {
			a := NewAuthenticator(policy, time.Now)
			b.ReportAllocs()
			for b.Loop() {
				mustPass(b, a, caller)
			}
		})
		b.Run("uncached/"+algorithm, func(b *testing.B) {
			s, token := newSnapshot(policy, time.Now), strings.TrimPrefix(caller.Authorization[0], "Bearer ")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.verifyJWT(token, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func mustPass(b *testing.B, a *Authenticator, c Caller) {
	if _, err := a.Authenticate(c); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAuthenticateParallel is every core with one token, and with 10,000 of as many
// tenants.
func BenchmarkAuthenticateParallel(b *testing.B) {
	key := openTestKey(b)
	for _, tenants := range []int{1, 10_000} {
		b.Run(strconv.Itoa(tenants)+" tenants", func(b *testing.B) {
			a := ownAuthenticator(key, time.Now)
			callers := make([]Caller, tenants)
			for i := range callers {
				callers[i] = bearer(issue(b, key, time.Now, Grant{Tenant: "t" + strconv.Itoa(i), Scopes: Scopes()}))
				mustPass(b, a, callers[i])
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					mustPass(b, a, callers[i%tenants])
				}
			})
		})
	}
}

// BenchmarkAuthenticateOther are requests that aren't of a lone JWT.
func BenchmarkAuthenticateOther(b *testing.B) {
	key := openTestKey(b)
	policy := largePolicy(b, key)
	policy.HostSuffix = testSuffix
	client := certificateOf(b, pkix.Name{CommonName: "shipper"}, time.Now())
	policy.Certificates = []Certificate{{Subject: "CN=shipper", Tenant: "acme", Scopes: Scopes()}}
	token := issue(b, key, time.Now, Grant{Tenant: "acme", Scopes: Scopes()})
	for name, caller := range map[string]Caller{
		"API token":           bearer("inv_tok_id7_secret"),
		"host":                {Authorization: bearer(token).Authorization, Host: "acme.dev.example.com:3100"},
		"basic":               {Authorization: []string{basic("user:" + token)}},
		"certificate":         {Certificate: client},
		"certificate and JWT": {Certificate: client, Authorization: bearer(token).Authorization},
	} {
		b.Run(name, func(b *testing.B) {
			a := NewAuthenticator(policy, time.Now)
			b.ReportAllocs()
			for b.Loop() {
				mustPass(b, a, caller)
			}
		})
	}
}

// largePolicy has 10,000 API tokens and as many revocations.
func largePolicy(b *testing.B, key *Key) Policy {
	b.Helper()
	policy := Policy{Issuers: []Issuer{Own(key.Keys())}, APITokens: map[string]APIToken{}}
	for i := range 10_000 {
		id := "id" + strconv.Itoa(i)
		policy.APITokens[id] = APIToken{
			Hash:     sha256.Sum256([]byte("inv_tok_" + id + "_secret")),
			Identity: Identity{Tenant: "acme", Subject: id, TokenID: id, Scopes: Scopes()},
		}
		policy.Revocations = append(policy.Revocations, Revocation{TokenID: rand.Text()}, Revocation{Subject: rand.Text(), IssuedBefore: time.Now()})
	}
	policy.Revocations = policy.Revocations[:10_000]
	return policy
}

func BenchmarkSwap(b *testing.B) {
	key := openTestKey(b)
	policy := largePolicy(b, key)
	a := NewAuthenticator(policy, time.Now)
	b.ReportAllocs()
	for b.Loop() {
		a.Swap(policy)
	}
}

func BenchmarkRevoked(b *testing.B) {
	r := newRevocations(largePolicy(b, openTestKey(b)).Revocations)
	id := &Identity{Issuer: "invoscope", Tenant: "acme", Subject: "ci", TokenID: "1", Issued: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		if r.revoked(id) {
			b.Fatal("revoked")
		}
	}
}

// BenchmarkHold is a request held and let go beside 1000 others, and a look at all.
func BenchmarkHold(b *testing.B) {
	key := openTestKey(b)
	a := ownAuthenticator(key, time.Now)
	id, err := a.Authenticate(bearer(issue(b, key, time.Now, Grant{Tenant: "acme"})))
	if err != nil {
		b.Fatal(err)
	}
	for range 1000 {
		_, cancel := a.Hold(context.Background(), id)
		defer cancel()
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, cancel := a.Hold(context.Background(), id)
			cancel()
		}
	})
	b.Run("look at 1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.recheck()
		}
	})
	b.Run("judge 1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.policy.Store(newSnapshot(Policy{Issuers: []Issuer{Own(key.Keys())}}, time.Now))
			a.recheck()
		}
	})
}
