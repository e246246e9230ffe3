package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/tenancy"
)

func revocations(t *testing.T, s *Store) []tenancy.Revocation {
	t.Helper()
	all, err := s.Revocations()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRevokeIsIdempotent(t *testing.T) {
	s, c := newStore(t)
	all := []tenancy.Revocation{
		{TokenID: "a"},
		{TokenID: "a", Issuer: "https://idp.example.com"},
		{Subject: "ci"},
		{Subject: "ci", IssuedBefore: c.now().Add(time.Nanosecond)},
		{Tenant: "acme", Issuer: "x", IssuedBefore: c.now()},
	}
	for _, again := range []bool{false, true} {
		for _, r := range all {
			// The same moment, told otherwise.
			r.IssuedBefore = r.IssuedBefore.In(time.FixedZone("", 3600))
			if r.IssuedBefore.Unix() < 0 {
				r.IssuedBefore = time.Time{}
			}
			added, err := s.Revoke(r, "because", time.Time{})
			if err != nil || added == again {
				t.Errorf("Revoke(%+v) = %t, %v; it was there: %t", r, added, err, again)
			}
		}
		if diff := cmp.Diff(all, revocations(t, s)); diff != "" {
			t.Errorf("revocations (-want +got):\n%s", diff)
		}
		c.advance(time.Minute)
	}
	kept, err := s.Revoked()
	if err != nil || len(kept) != len(all) || kept[0].Why != "because" || !kept[0].Revoked.Equal(newClock().now()) {
		t.Errorf("kept %+v, %v; want when and why", kept, err)
	}
	wantMode(t, s.revocationFile(), 0o600)
	wantEntries(t, s.dir, "revocations.json", "tenancy.lock")
}

func TestRevokeRefuses(t *testing.T) {
	s, _ := newStore(t)
	for name, r := range map[string]tenancy.Revocation{
		"nothing":       {},
		"the zero time": {IssuedBefore: time.Time{}.In(time.FixedZone("", 3600))},
		"not UTF-8":     {Subject: "\xff"},
	} {
		if _, err := s.Revoke(r, "", time.Time{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := os.Stat(s.revocationFile()); err == nil {
		t.Error("a file was written")
	}
}

// Every way to revoke ends tokens of both kinds, and no other token.
func TestRevokedTokensAreRefused(t *testing.T) {
	for name, of := range map[string]func(Token) tenancy.Revocation{
		"id":      func(made Token) tenancy.Revocation { return tenancy.Revocation{TokenID: made.ID} },
		"subject": func(Token) tenancy.Revocation { return tenancy.Revocation{Subject: "leaver"} },
		"before": func(made Token) tenancy.Revocation {
			return tenancy.Revocation{IssuedBefore: made.Issued.Add(time.Nanosecond)}
		},
		"tenant read": func(Token) tenancy.Revocation { return tenancy.Revocation{Tenant: "b"} },
	} {
		for _, kind := range []Kind{JWT, API} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				s, c := newStore(t)
				bad, made := issue(t, s, kind, func(g *tenancy.Grant) { g.Subject, g.Tenants = "leaver", []string{"b"} })
				c.advance(time.Second)
				good, _ := issue(t, s, kind, nil)
				revoke(t, s, of(made))
				if _, err := authenticate(t, s, bad); tenancy.ReasonOf(err) != tenancy.Revoked {
					t.Errorf("the token: %v, want it revoked", err)
				}
				if _, err := authenticate(t, s, good); err != nil {
					t.Errorf("another token: %v", err)
				}
			})
		}
	}
}

// A token is dated to the second. One that is issued in the second of a revocation, after
// it, is not hit by it; one that was issued before is.
func TestIssueInTheSecondOfARevocation(t *testing.T) {
	for _, kind := range []Kind{JWT, API} {
		s, c := newStore(t)
		c.advance(200 * time.Millisecond)
		before, _ := issue(t, s, kind, nil)
		c.advance(200 * time.Millisecond)
		revoke(t, s, tenancy.Revocation{Subject: "ci", IssuedBefore: c.now()})
		after, _ := issue(t, s, kind, nil)
		if _, err := authenticate(t, s, before); tenancy.ReasonOf(err) != tenancy.Revoked {
			t.Errorf("%s issued before: %v, want it revoked", kind, err)
		}
		if _, err := authenticate(t, s, after); err != nil {
			t.Errorf("%s issued after: %v", kind, err)
		}
	}
}

func TestRevocationsAreForgotten(t *testing.T) {
	s, c := newStore(t)
	_, made := issue(t, s, API, func(g *tenancy.Grant) { g.Life = time.Hour })
	revoke(t, s, tenancy.Revocation{TokenID: made.ID, Issuer: tenancy.OwnIssuer})
	revoke(t, s, tenancy.Revocation{TokenID: "x", Issuer: tenancy.OwnIssuer}) // not listed
	revoke(t, s, tenancy.Revocation{TokenID: "x", Issuer: "https://idp.example.com"})
	revoke(t, s, tenancy.Revocation{Subject: "x"})
	if _, err := s.Revoke(tenancy.Revocation{Subject: "y"}, "", c.now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 5}, {time.Minute, 4}, {time.Hour, 4}, {sweepAfter, 3}, {100 * tenancy.DefaultLife, 3}} {
		c.advance(step.after)
		if got := revocations(t, s); len(got) != step.want {
			t.Errorf("after %s more there are %d, want %d: %v", step.after, len(got), step.want, got)
		}
	}
	revoke(t, s, tenancy.Revocation{Subject: "z"})
	if content := readAll(t, s.revocationFile()); strings.Contains(content, made.ID) || strings.Contains(content, `"y"`) {
		t.Errorf("the file still has what may be forgotten:\n%s", content)
	}
}

func TestRevocationsRefuses(t *testing.T) {
	s, _ := newStore(t)
	revoke(t, s, tenancy.Revocation{Subject: "x"})
	path, good := s.revocationFile(), readAll(t, s.revocationFile())
	for name, content := range map[string]string{
		"later fields":  `{"version": 2, "withdrawn": []}`,
		"empty":         "",
		"half":          good[:len(good)/2],
		"no object":     "[]",
		"no version":    `{"revocations": []}`,
		"later version": `{"version": 2, "revocations": []}`,
		"misspelt":      `{"version": 1, "revocations": [{"subject": "x", "tenent": "acme"}]}`,
		"goes on":       good + good,
		"of nothing":    `{"version": 1, "revocations": [{"why": "?"}]}`,
		"a bad date":    `{"version": 1, "revocations": [{"subject": "x", "issued_before": "soon"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, path, content)
			_, err := s.Revocations()
			if err == nil || !strings.Contains(err.Error(), path) || strings.HasPrefix(name, "later") && !strings.Contains(err.Error(), "version 2") {
				t.Errorf("error = %v, want one with the path", err)
			}
			if _, err := s.Revoke(tenancy.Revocation{Subject: "y"}, "", time.Time{}); err == nil || readAll(t, path) != content {
				t.Errorf("error = %v; the file that isn't understood must stay", err)
			}
			if _, _, err := s.Issue(grant(nil), JWT); err == nil {
				t.Error("issued a token that may be revoked")
			}
		})
	}
	writeFile(t, path, good)
	if err := os.Chmod(path, 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Revocations(); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("a file that others write: error = %v, want the chmod to run", err)
	}
}

func TestPathsAreWhatChanges(t *testing.T) {
	s, c := newStore(t)
	for name, change := range map[string]func(){
		"the first token": func() { issue(t, s, API, nil) },
		"another":         func() { issue(t, s, API, nil) },
		"a revocation":    func() { revoke(t, s, tenancy.Revocation{Subject: c.now().String()}) },
		"a rotation":      func() { signingKey(t, s); rotate(t, s, c.now().Add(time.Hour)) },
	} {
		before := stamps(s)
		c.advance(time.Second)
		change()
		if diff := cmp.Diff(before, stamps(s)); diff == "" {
			t.Errorf("%s changes none of %v", name, s.Paths())
		}
	}
	for _, path := range s.Paths() {
		if !strings.HasPrefix(path, s.dir+string(filepath.Separator)) {
			t.Errorf("%s is not in the data directory", path)
		}
	}
}

func stamps(s *Store) map[string]time.Time {
	found := map[string]time.Time{}
	for _, path := range s.Paths() {
		if info, err := os.Stat(path); err == nil {
			found[path] = info.ModTime()
		}
	}
	return found
}
