package tenancy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEnsureTokenFile(t *testing.T) {
	key, c := openTestKey(t), newClock()
	path := filepath.Join(t.TempDir(), "token")
	ensure := func(tenant string, key *Key, wantNew bool) string {
		t.Helper()
		wrote, err := EnsureTokenFile(path, tenant, key, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if wrote != wantNew {
			t.Errorf("wrote = %t, want %t", wrote, wantNew)
		}
		token, err := ReadTokenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		id, err := ownAuthenticator(key, c.now).Authenticate(bearer(token))
		if err != nil {
			t.Fatal(err)
		}
		if id.Tenant != tenant {
			t.Errorf("tenant %q, want %q", id.Tenant, tenant)
		}
		for _, s := range Scopes() {
			if id.Allows(s) != (s != Admin) {
				t.Errorf("Allows(%s) = %t", s, id.Allows(s))
			}
		}
		return token
	}

	first := ensure("default", key, true)
	wantMode(t, path, 0o600)
	if again := ensure("default", key, false); again != first {
		t.Error("a second start has another token")
	}
	c.advance(DefaultLife - renewBefore)
	if again := ensure("default", key, false); again != first {
		t.Error("renewed with exactly 7 days left")
	}
	c.advance(time.Second)
	ensure("default", key, true) // expires within 7 days
	ensure("other", key, true)   // another tenant
	other := openTestKey(t)
	ensure("other", other, true) // another key
	ensure("other", other, false)
}

func TestEnsureTokenFileReplaces(t *testing.T) {
	key, c := openTestKey(t), newClock()
	for name, content := range map[string]string{
		"empty":      "",
		"blank":      "\n\n",
		"junk":       "not a token, clearly",
		"large":      strings.Repeat("a", 1<<20),
		"few scopes": issue(t, key, c.now, Grant{Tenant: "default", Scopes: []Scope{LogsRead}}),
		"expired":    issue(t, key, func() time.Time { return c.now().Add(-DefaultLife) }, Grant{Tenant: "default", Scopes: Scopes()}),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
				t.Fatal(err)
			}
			wrote, err := EnsureTokenFile(path, "default", key, c.now)
			if err != nil || !wrote {
				t.Fatalf("= %t, %v; want a new token", wrote, err)
			}
			wantMode(t, path, 0o640) // as its owner set it
			wantEntries(t, filepath.Dir(path), "token")
		})
	}
}

func TestEnsureTokenFileErrors(t *testing.T) {
	key, c := openTestKey(t), newClock()
	dir := t.TempDir()
	for name, tt := range map[string]struct{ path, tenant string }{
		"a directory":  {dir, "default"},
		"no directory": {filepath.Join(dir, "missing", "token"), "default"},
		"bad tenant":   {filepath.Join(dir, "token"), "a|b"},
	} {
		if _, err := EnsureTokenFile(tt.path, tt.tenant, key, c.now); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	wantEntries(t, dir)
}
