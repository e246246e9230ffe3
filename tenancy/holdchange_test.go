package tenancy

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"
)

// The host may come under the suffix while a request is held.
func TestHoldEndsWhenItsHostIsBound(t *testing.T) {
	holding(t, func(h *holdTest) {
		caller := h.issue(Grant{Tenant: "acme"})
		caller.Host = "b.example.org"
		ctx, cancel := h.hold(caller)
		defer cancel()
		h.policy.HostSuffix = ".example.org"
		h.a.Swap(h.policy)
		h.ended(ctx, time.Millisecond, WrongHost)
	})
}

func TestHoldEndsWhenItsKeyGoes(t *testing.T) {
	holding(t, func(h *holdTest) {
		ctx, cancel := h.hold(h.issue(Grant{Tenant: "acme"}))
		defer cancel()
		h.held(ctx, time.Minute)
		h.set.set(openTestKey(h).Public(), h.key.Public()) // another beside it
		h.held(ctx, time.Minute)
		h.set.set(openTestKey(h).Public())
		h.ended(ctx, time.Second, BadSignature)
	})
}

// A key may be replaced by itself with an end.
func TestHoldEndsWithItsKey(t *testing.T) {
	holding(t, func(h *holdTest) {
		ctx, cancel := h.hold(h.issue(Grant{Tenant: "acme", Life: time.Hour}))
		defer cancel()
		key := h.key.Public()
		key.Until = time.Now().Add(time.Minute)
		h.set.set(key)
		h.held(ctx, 59*time.Second)
		h.ended(ctx, 2*time.Second, Expired)
	})
}

// A policy that comes into force between the check and the hold counts.
func TestHoldAfterSwap(t *testing.T) {
	holding(t, func(h *holdTest) {
		id, err := h.a.Authenticate(h.issue(Grant{Tenant: "acme", Subject: "ci"}))
		if err != nil {
			h.Fatal(err)
		}
		h.policy.Revocations = []Revocation{{Subject: "ci"}}
		h.a.Swap(h.policy)
		ctx, cancel := h.a.Hold(h.Context(), id)
		defer cancel()
		h.ended(ctx, time.Millisecond, Revoked)
	})
}

// A key set that waits for its provider must not keep a revocation waiting.
func TestHoldEndsBesideAKeySetThatWaits(t *testing.T) {
	holding(t, func(h *holdTest) {
		slow := waitingKeys{h.set, make(chan struct{})}
		first, cancelFirst := h.hold(h.issue(Grant{Tenant: "acme", Subject: "first"}))
		defer cancelFirst()
		second, cancelSecond := h.hold(h.issue(Grant{Tenant: "acme", Subject: "second"}))
		defer cancelSecond()
		h.policy.Issuers = []Issuer{Own(slow)}
		h.a.Swap(h.policy)
		h.held(first, time.Minute)
		h.policy.Revocations = []Revocation{{Subject: "first"}}
		h.a.Swap(h.policy)
		h.ended(first, time.Millisecond, Revoked)
		close(slow.wait)
		h.held(second, time.Minute)
	})
}

type waitingKeys struct {
	KeySet
	wait chan struct{}
}

func (k waitingKeys) Keys(kid string) []PublicKey {
	<-k.wait
	return k.KeySet.Keys(kid)
}

func TestHoldOthers(t *testing.T) {
	holding(t, func(h *holdTest) {
		const token = "inv_tok_id1_secret"
		h.policy.APITokens = map[string]APIToken{"id1": {Hash: sha256.Sum256([]byte(token)), Identity: Identity{Tenant: "acme", TokenID: "id1"}}}
		client := certificateOf(h, pkix.Name{CommonName: "shipper"}, time.Now())
		h.policy.Certificates = []Certificate{{Subject: "CN=shipper", Tenant: "acme", Scopes: Scopes()}}
		h.a.Swap(h.policy)
		hold := func(c *x509.Certificate, values ...string) context.Context {
			ctx, cancel := h.hold(Caller{Certificate: c, Authorization: values})
			h.Cleanup(cancel)
			return ctx
		}
		byToken, byBoth, byCertificate, other := hold(nil, "Bearer "+token), hold(client, "Bearer "+token), hold(client), hold(client)
		h.held(byToken, time.Hour-time.Second)
		h.ended(byCertificate, time.Second, Expired)
		h.ended(byBoth, 0, Expired) // with the certificate
		h.ended(other, 0, Expired)
		h.held(byToken, time.Hour) // for ever
		h.policy.APITokens = nil
		h.a.Swap(h.policy)
		h.ended(byToken, time.Millisecond, BadSignature)
	})
}
