package store

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// ensure makes the daemon's token and returns it, judged as a daemon would.
func ensure(t *testing.T, s *Store, path, tenant string, wantNew bool) string {
	t.Helper()
	wrote, err := s.EnsureToken(path, tenant)
	if err != nil {
		t.Fatal(err)
	}
	if wrote != wantNew {
		t.Errorf("wrote = %t, want %t", wrote, wantNew)
	}
	token, err := tenancy.ReadTokenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	id, err := authenticate(t, s, token)
	if err != nil {
		t.Fatal(err)
	}
	if id.Tenant != tenant {
		t.Errorf("tenant %q, want %q", id.Tenant, tenant)
	}
	for _, scope := range tenancy.Scopes() {
		if id.Allows(scope) != (scope != tenancy.Admin) {
			t.Errorf("Allows(%s) = %t", scope, id.Allows(scope))
		}
	}
	return token
}

func TestEnsureToken(t *testing.T) {
	s, c := newStore(t)
	path := filepath.Join(t.TempDir(), "token")
	first := ensure(t, s, path, "default", true)
	wantMode(t, path, 0o600)
	if again := ensure(t, s, path, "default", false); again != first {
		t.Error("a second start has another token")
	}
	c.advance(tenancy.DefaultLife - renewBefore)
	if again := ensure(t, s, path, "default", false); again != first {
		t.Error("renewed with exactly 7 days left")
	}
	c.advance(time.Second)
	ensure(t, s, path, "default", true) // expires within 7 days
	ensure(t, s, path, "other", true)   // another tenant
	elsewhere, _ := newStore(t)
	elsewhere.now = c.now
	ensure(t, elsewhere, path, "other", true) // another key
	ensure(t, elsewhere, path, "other", false)
}

func TestEnsureTokenReplaces(t *testing.T) {
	s, c := newStore(t)
	fewScopes, _ := issue(t, s, JWT, func(g *tenancy.Grant) { g.Tenant = "default" })
	c.advance(-tenancy.DefaultLife)
	expired, _ := issue(t, s, JWT, func(g *tenancy.Grant) { g.Tenant, g.Scopes = "default", tenancy.Scopes() })
	c.advance(tenancy.DefaultLife)
	for name, content := range map[string]string{
		"empty":      "",
		"blank":      "\n\n",
		"junk":       "not a token, clearly",
		"large":      strings.Repeat("a", 1<<20),
		"few scopes": fewScopes,
		"expired":    expired,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
				t.Fatal(err)
			}
			ensure(t, s, path, "default", true)
			wantMode(t, path, 0o640) // as its owner set it
			wantEntries(t, filepath.Dir(path), "token")
		})
	}
}

func TestEnsureTokenErrors(t *testing.T) {
	s, _ := newStore(t)
	dir := t.TempDir()
	for name, tt := range map[string]struct{ path, tenant string }{
		"a directory":  {dir, "default"},
		"no directory": {filepath.Join(dir, "missing", "token"), "default"},
		"bad tenant":   {filepath.Join(dir, "token"), "a|b"},
	} {
		if _, err := s.EnsureToken(tt.path, tt.tenant); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	wantEntries(t, dir)
	// A daemon tries again whenever something changes, which a record would be.
	if tokens := listed(t, s); len(tokens) != 0 {
		t.Errorf("tokens that nobody has are listed: %v", tokens)
	}
}

// What the operator revokes of the daemon is replaced, at once and in the same second.
func TestEnsureTokenAfterARevocation(t *testing.T) {
	s, c := newStore(t)
	path := filepath.Join(t.TempDir(), "token")
	for name, r := range map[string]func(Token) tenancy.Revocation{
		"id":            func(made Token) tenancy.Revocation { return tenancy.Revocation{TokenID: made.ID} },
		"subject":       func(Token) tenancy.Revocation { return tenancy.Revocation{Subject: OwnSubject, IssuedBefore: s.now()} },
		"all before":    func(Token) tenancy.Revocation { return tenancy.Revocation{IssuedBefore: s.now()} },
		"of the tenant": func(Token) tenancy.Revocation { return tenancy.Revocation{Tenant: "default", IssuedBefore: s.now()} },
	} {
		t.Run(name, func(t *testing.T) {
			c.advance(time.Hour + 300*time.Millisecond)
			if _, err := s.EnsureToken(path, "default"); err != nil {
				t.Fatal(err)
			}
			before := ensure(t, s, path, "default", false)
			tokens, err := s.Tokens()
			if err != nil {
				t.Fatal(err)
			}
			revoke(t, s, r(tokens[0]))
			if after := ensure(t, s, path, "default", true); after == before {
				t.Error("the token is still the revoked one")
			}
			ensure(t, s, path, "default", false)
		})
	}
}

// A rotation gives the daemon a token of the new key, and leaves the old one good until
// the date.
func TestEnsureTokenAfterARotation(t *testing.T) {
	s, c := newStore(t)
	path := filepath.Join(t.TempDir(), "token")
	before := ensure(t, s, path, "default", true)
	if _, _, err := s.RotateKey(c.now().Add(24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	ensure(t, s, path, "default", true)
	ensure(t, s, path, "default", false)
	if _, err := authenticate(t, s, before); err != nil {
		t.Errorf("the old token: %v", err)
	}
	c.advance(24 * time.Hour)
	if _, err := authenticate(t, s, before); tenancy.ReasonOf(err) != tenancy.BadSignature {
		t.Errorf("the old token after the date: %v, want a bad signature", err)
	}
}

// authenticate judges a token by all that the store keeps.
func authenticate(t *testing.T, s *Store, token string) (tenancy.Identity, error) {
	t.Helper()
	return tenancy.NewAuthenticator(policy(t, s), s.now).Authenticate(tenancy.Caller{Authorization: []string{"Bearer " + token}})
}

func policy(t *testing.T, s *Store) tenancy.Policy {
	t.Helper()
	keys, err := s.KeySet()
	if err != nil {
		t.Fatal(err)
	}
	api, err := s.APITokens()
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := s.Revocations()
	if err != nil {
		t.Fatal(err)
	}
	return tenancy.Policy{Issuers: []tenancy.Issuer{tenancy.Own(keys)}, APITokens: api, Revocations: slices.Clone(revoked)}
}
