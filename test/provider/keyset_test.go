//go:build integration

package provider

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/keyset"
	"github.com/invoscope/invoscope/test/harness"
)

// verifier accepts the provider's tokens.
type verifier struct {
	*keyset.Set
	*tenancy.Authenticator
}

// newVerifier finds the provider's keys by discovery, and looks again each refresh.
func newVerifier(t *testing.T, p *provider, refresh time.Duration) verifier {
	t.Helper()
	set, err := keyset.Open(keyset.Options{
		Discovery: true, Issuer: p.Issuer, Refresh: refresh, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- set.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	policy := tenancy.Policy{Issuers: []tenancy.Issuer{{
		Name: p.Issuer, Audiences: []string{audience}, Algorithms: []string{"RS256", "PS256", "ES256", "EdDSA"},
		Keys:   []tenancy.KeySet{set},
		Claims: tenancy.ClaimNames{Tenant: "/invoscope/tenant", Scope: "scope", Roles: "roles"},
		Roles:  map[string][]tenancy.Scope{"developer": {tenancy.TracesRead}},
	}}}
	if err := policy.Validate(); err != nil {
		t.Fatal(err)
	}
	return verifier{set, tenancy.NewAuthenticator(policy, time.Now)}
}

func (v verifier) verify(token string) (tenancy.Identity, error) {
	return v.Authenticate(tenancy.Caller{Authorization: []string{"Bearer " + token}})
}

func (v verifier) accepts(t *testing.T, what, token string) {
	t.Helper()
	if _, err := v.verify(token); err != nil {
		t.Errorf("%s is refused: %v", what, err)
	}
}

func TestTokenOfAProvider(t *testing.T) {
	p := startProvider(t)
	v := newVerifier(t, p, time.Hour)
	id, err := v.verify(p.token("logs:read", "openid"))
	if err != nil {
		t.Fatal(err)
	}
	if id.Issuer != p.Issuer || id.Tenant != "acme" || id.Subject != "sid1" || id.TokenID == "" || time.Until(id.Expires) <= 0 {
		t.Errorf("%+v", id)
	}
	for _, scope := range tenancy.Scopes() {
		if want := scope == tenancy.LogsRead || scope == tenancy.TracesRead; id.Allows(scope) != want {
			t.Errorf("allows %s: %t", scope, !want)
		}
	}
	// Another provider, whose tokens say the same, has nothing to say here.
	if _, err := v.verify(startProvider(t).token("logs:read")); tenancy.ReasonOf(err) != tenancy.WrongIssuer {
		t.Errorf("a token of another provider: %v", err)
	}
}

// A new key is known with the first token that it signed, whatever its kind, while the
// tokens of the key before go on.
func TestProviderRotatesItsKey(t *testing.T) {
	p := startProvider(t)
	for _, algorithm := range []string{"ES256", "EdDSA", "PS256", "RS256"} {
		t.Run(algorithm, func(t *testing.T) {
			v := newVerifier(t, p, time.Hour)
			before := p.token()
			v.accepts(t, "a token", before)
			generation := v.Generation()
			p.rotate(algorithm)
			v.accepts(t, "the first token of the new key", p.token())
			v.accepts(t, "a token of the key before", before)
			if v.Generation() != generation {
				t.Error("the generation changed, though no key was taken away")
			}
		})
	}
}

// A key that the provider takes away ends with the next refresh, also for tokens that
// were verified before.
func TestProviderTakesAKeyAway(t *testing.T) {
	p := startProvider(t)
	v := newVerifier(t, p, 200*time.Millisecond)
	before := p.token()
	v.accepts(t, "a token", before)
	p.rotate("ES256")
	after := p.token()
	v.accepts(t, "the first token of the new key", after)
	p.retire()
	harness.Poll(t, limit, "the old key's token is refused", func() error {
		switch _, err := v.verify(before); tenancy.ReasonOf(err) {
		case tenancy.BadSignature:
			return nil
		case "":
			return errors.New("it is accepted")
		default:
			t.Fatal(err)
			return nil
		}
	})
	v.accepts(t, "a token of the new key", after)
}

func TestProviderIsDownForAWhile(t *testing.T) {
	p := startProvider(t)
	v := newVerifier(t, p, 200*time.Millisecond)
	token, unseen := p.token(), p.token()
	v.accepts(t, "a token", token)
	p.stop()
	harness.Poll(t, limit, "the outage is noticed", func() error {
		if v.Status().Err == nil {
			return errors.New("not yet")
		}
		return nil
	})
	v.accepts(t, "a token that was seen before", token)
	v.accepts(t, "a token that is seen for the first time", unseen)
	p.again()
	harness.Poll(t, limit, "the provider's return is noticed", func() error { return v.Status().Err })
	v.accepts(t, "a token of before the outage", token)
	v.accepts(t, "a token of after the outage", p.token())
	p.rotate("EdDSA")
	v.accepts(t, "a token of a key of after the outage", p.token())
}

// A provider that is not there when we start lets nobody in until it is.
func TestProviderComesLater(t *testing.T) {
	p := startProvider(t)
	token := p.token()
	p.stop()
	v := newVerifier(t, p, 200*time.Millisecond)
	if _, err := v.verify(token); tenancy.ReasonOf(err) != tenancy.BadSignature {
		t.Errorf("without a key: %v", err)
	}
	p.again()
	harness.Poll(t, limit, "the token is accepted", func() error {
		_, err := v.verify(token)
		return err
	})
}
