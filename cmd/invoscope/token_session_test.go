package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

func TestTokenSession(t *testing.T) {
	s := newSession(t)
	s.do("token", "list")
	s.do("key", "generate")
	s.do("key", "generate")
	s.do("token", "list")
	ci := s.do("token", "issue", "--scope", "logs:read,logs:write", "--tenant", "acme", "--subject", "ci")
	operator := s.do("token", "issue", "--scope", "logs:read", "--tenants", "*", "--opaque", "--ttl", "100d", "--subject", "operator")
	s.do("token", "issue", "--scope", "logs:read", "--tenants", "acme,b", "--ttl", "12h")
	s.do("token", "issue", "--scope", "logs:write", "--tenants", "acme,b")
	s.do("token", "issue", "--scope", "logs:write", "--tenant", "b", "--tenants", "acme", "--ttl", "20m")
	s.do("token", "list")
	s.do("token", "list", "--tenant", "b")
	s.do("token", "list", "-o", "json")
	s.inspect(ci)
	s.inspect(ci, "-o", "json")
	s.inspect(operator)
	s.inspect(operator, "-o", "json")
	s.now = s.now.Add(24 * time.Hour)
	s.do("token", "list")
	s.do("token", "revoke", "--subject", "ci", "--why", "the laptop was lost")
	s.do("token", "revoke", "--subject", "nobody", "--tenant", "acme", "--issuer", "invoscope")
	s.inspect(ci)
	s.do("token", "issue", "--scope", "logs:read", "--tenant", "acme", "--subject", "ci")
	s.do("token", "list")
	s.do("token", "revoke", strings.Split(operator, "_")[2])
	s.do("token", "revoke", strings.Split(operator, "_")[2])
	s.do("token", "revoke", "f81d4fae-7dec", "--issuer", "https://idp.example.com", "--until", "30d")
	s.do("token", "revoke", "--issued-before", "2026-11-24T13:00:00Z", "--issuer", "https://idp.example.com")
	s.inspect(operator)
	s.do("token", "revoke", "--issued-before", "2026-11-24")
	s.do("token", "revoke", "--issued-before", "12h", "--tenant", "acme")
	s.golden("tokens")
}

func TestTokenRevokeRefuses(t *testing.T) {
	s := newSession(t)
	s.do("token", "revoke", "x")
	s.do("key", "generate")
	opaque := s.do("token", "issue", "--scope", "logs:read", "--opaque")
	signed := s.do("token", "issue", "--scope", "logs:read")
	s.do("token", "revoke")
	s.do("token", "revoke", "--tenant", "acme")
	s.do("token", "revoke", opaque)
	s.do("token", "revoke", signed)
	s.do("token", "revoke", "--issued-before", "2026-12-24")
	s.do("token", "revoke", "--issued-before", "yesterday")
	s.do("token", "revoke", "x", "--until", "2026-11-22")
	s.golden("revoke-refuses")
	if _, err := os.Stat(filepath.Join(s.dir, "revocations.json")); err == nil {
		t.Error("something was revoked")
	}
}

func TestKeySession(t *testing.T) {
	s := newSession(t)
	s.do("key", "rotate")
	s.do("key", "list")
	s.do("key", "generate")
	token := s.do("token", "issue", "--scope", "logs:read")
	s.do("key", "rotate")
	s.do("key", "list")
	s.inspect(token)
	second := s.do("token", "issue", "--scope", "logs:read", "--opaque")
	third := s.do("token", "issue", "--scope", "logs:read")
	s.do("key", "rotate", "--keep", "30d")
	s.do("token", "list")
	fourth := s.do("token", "issue", "--scope", "logs:read")
	s.do("key", "rotate", "--keep", "0")
	s.do("key", "list")
	s.do("key", "list", "-o", "json")
	s.inspect(fourth)
	s.now = s.now.Add(31 * 24 * time.Hour)
	s.do("token", "list")
	s.do("key", "list")
	s.inspect(third)
	s.inspect(second)
	s.do("key", "rotate", "--keep-until", "2026-12-31T12:00:00Z")
	s.do("key", "list")
	s.do("key", "rotate", "--keep-until", "2026-11-23")
	s.do("key", "rotate", "--keep", "1d", "--keep-until", "2027-11-23")
	s.inspect(third)
	s.golden("keys")
}

// Commands that run at the same time on one directory all come through.
func TestCommandsAtOnce(t *testing.T) {
	s := newSession(t)
	s.do("key", "generate")
	const each = 4
	var group errgroup.Group
	for i := range each {
		for _, args := range [][]string{
			{"token", "issue", "--scope", "logs:read"},
			{"token", "issue", "--scope", "logs:read", "--opaque"},
			{"token", "revoke", "foreign" + strconv.Itoa(i)},
			{"token", "list"},
			{"key", "list"},
			{"key", "rotate"},
		} {
			group.Go(func() error {
				_, _, err := s.run(t, append(args, "--data-dir", s.dir)...)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]int{"token": 2 * each, "key": each + 1} {
		listed, _, err := s.run(t, command, "list", "-o", "json", "--data-dir", s.dir)
		if err != nil || strings.Count(listed, "\n") != want {
			t.Errorf("%s list: %d lines, %v; want %d", command, strings.Count(listed, "\n"), err, want)
		}
	}
	revoked, err := store.Open(s.dir, time.Now).Revocations()
	if err != nil || len(revoked) != each {
		t.Errorf("%d revocations, %v; want %d", len(revoked), err, each)
	}
}

// The token that a rebuild makes for itself is good, and isn't listed.
func TestIndexRebuildMakesItselfAToken(t *testing.T) {
	dir := t.TempDir()
	s := store.Open(dir, time.Now)
	if _, err := s.EnsureToken(filepath.Join(dir, "token"), "default"); err != nil {
		t.Fatal(err)
	}
	c := indexRebuildCmd{DataDir: dir, Tenant: "acme"}
	session, err := c.connect()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := s.KeySet()
	if err != nil {
		t.Fatal(err)
	}
	policy := tenancy.Policy{Issuers: []tenancy.Issuer{tenancy.Own(keys)}}
	id, err := tenancy.NewAuthenticator(policy, time.Now).Authenticate(tenancy.Caller{Authorization: []string{"Bearer " + session.Token}})
	if err != nil || id.Tenant != "acme" || !id.Allows(tenancy.Admin) || id.TokenID == "" {
		t.Errorf("identity %+v, %v", id, err)
	}
	if tokens, err := s.Tokens(); err != nil || len(tokens) != 1 {
		t.Errorf("listed %v, %v; want the daemon's alone", tokens, err)
	}
}
