package store

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/invoscope/invoscope/tenancy"
)

func listed(t *testing.T, s *Store) []Token {
	t.Helper()
	tokens, err := s.Tokens()
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// The daemon takes the token for what it was issued as, whatever its kind.
func TestIssuedTokensAreAccepted(t *testing.T) {
	s, c := newStore(t)
	for name, tt := range map[string]struct {
		grant tenancy.Grant
		want  tenancy.Identity
	}{
		"one tenant": {
			grant(nil),
			tenancy.Identity{Tenant: "acme", Subject: "ci", Scopes: []tenancy.Scope{tenancy.LogsRead}},
		},
		"reads another": {
			grant(func(g *tenancy.Grant) { g.Tenants, g.Scopes = []string{"b"}, tenancy.Scopes() }),
			tenancy.Identity{Tenant: "acme", Reads: []string{"acme", "b"}, Subject: "ci", Scopes: tenancy.Scopes()},
		},
		"only reads": {
			grant(func(g *tenancy.Grant) { g.Tenant, g.Tenants = "", []string{"a", "b"} }),
			tenancy.Identity{Reads: []string{"a", "b"}, Subject: "ci", Scopes: []tenancy.Scope{tenancy.LogsRead}},
		},
		"reads all": {
			grant(func(g *tenancy.Grant) { g.Tenant, g.Tenants, g.Subject = "", []string{"*"}, "" }),
			tenancy.Identity{ReadsAll: true, Scopes: []tenancy.Scope{tenancy.LogsRead}},
		},
	} {
		for _, kind := range []Kind{JWT, API} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				token, made, err := s.Issue(tt.grant, kind)
				if err != nil {
					t.Fatal(err)
				}
				got, err := authenticate(t, s, token)
				if err != nil {
					t.Fatal(err)
				}
				want := tt.want
				want.Issuer, want.TokenID, want.Issued, want.Expires = tenancy.OwnIssuer, made.ID, c.now(), c.now().Add(tenancy.DefaultLife)
				if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(tenancy.Identity{}), cmpopts.EquateApproxTime(0)); diff != "" {
					t.Errorf("identity (-want +got):\n%s", diff)
				}
				if id := listed(t, s); !slices.ContainsFunc(id, func(l Token) bool { return cmp.Equal(l, made, cmpopts.EquateApproxTime(0)) }) {
					t.Errorf("the list has no %+v", made)
				}
				wantMode(t, s.recordFile(made.ID), 0o600)
			})
		}
	}
	wantMode(t, s.tokenDir(), 0o700)
}

func TestAPITokenOnTheWire(t *testing.T) {
	s, _ := newStore(t)
	first, made := issue(t, s, API, nil)
	second, _ := issue(t, s, API, nil)
	parts := strings.Split(first, "_")
	if len(parts) != 4 || parts[0] != "inv" || parts[1] != "tok" || parts[2] != made.ID || len(parts[3]) < 26 || first == second {
		t.Errorf("tokens %s and %s, want inv_tok_<id>_<secret>", first, second)
	}
	if !validID(parts[2]) || !validID(parts[3]) {
		t.Errorf("%s has other characters than letters and digits", first)
	}
}

// Whoever reads the data directory, a backup of it say, finds no token.
func TestNoTokenIsKept(t *testing.T) {
	s, _ := newStore(t)
	opaque, _ := issue(t, s, API, nil)
	signed, _ := issue(t, s, JWT, nil)
	secrets := []string{opaque[strings.LastIndex(opaque, "_")+1:], signed[strings.LastIndex(signed, ".")+1:]}
	err := filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		for _, secret := range secrets {
			if strings.Contains(readAll(t, path), secret) {
				t.Errorf("%s holds a token", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAPIToken(t *testing.T) {
	s, c := newStore(t)
	token, made := issue(t, s, API, nil)
	signed, other := issue(t, s, JWT, nil)
	for name, tt := range map[string]struct {
		token string
		want  error
	}{
		"right":           {token, nil},
		"wrong secret":    {token[:len(token)-1] + "0", ErrWrongSecret},
		"more":            {token + "A", ErrWrongSecret},
		"no secret":       {APIPrefix + made.ID, ErrWrongSecret},
		"unknown":         {APIPrefix + "x_y", fs.ErrNotExist},
		"a path":          {APIPrefix + "../revocations_y", fs.ErrNotExist},
		"a JWT":           {signed, fs.ErrNotExist},
		"the id of a JWT": {APIPrefix + other.ID + "_y", fs.ErrNotExist},
	} {
		got, err := s.APIToken(tt.token)
		if !errors.Is(err, tt.want) || err == nil && got.ID != made.ID {
			t.Errorf("%s: %v, %v; want %v", name, got, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), token[len(token)-10:]) {
			t.Errorf("%s: the error has the secret: %v", name, err)
		}
	}
	c.advance(2 * tenancy.DefaultLife)
	if got, err := s.APIToken(token); err != nil || got.ID != made.ID {
		t.Errorf("an expired one: %v, %v", got, err)
	}
}

func TestExpiredTokensAreForgotten(t *testing.T) {
	s, c := newStore(t)
	hour := func(g *tenancy.Grant) { g.Life = time.Hour }
	issue(t, s, JWT, hour)
	issue(t, s, API, hour)
	_, long := issue(t, s, API, nil)
	writeFile(t, filepath.Join(s.tokenDir(), "."+long.ID+".json123"), "what a crash has left")
	writeFile(t, filepath.Join(s.tokenDir(), "README"), "an operator's own")

	c.advance(time.Hour)
	if got := listed(t, s); len(got) != 1 || got[0].ID != long.ID {
		t.Errorf("listed %v, want the one that hasn't expired", got)
	}
	api, err := s.APITokens()
	if err != nil || !slices.Equal(slices.Collect(maps.Keys(api)), []string{long.ID}) {
		t.Errorf("API tokens %v, %v; want the one that hasn't expired", api, err)
	}
	c.advance(sweepEvery)
	_, last := issue(t, s, JWT, nil)
	want := []string{sweptName, long.ID + ".json", last.ID + ".json", "README"}
	slices.Sort(want)
	wantEntries(t, s.tokenDir(), want...)
}

func TestIssuePassing(t *testing.T) {
	s, _ := newStore(t)
	brief := grant(func(g *tenancy.Grant) { g.Life = MaxPassing })
	token, err := s.IssuePassing(brief)
	if err != nil {
		t.Fatal(err)
	}
	id, err := authenticate(t, s, token)
	if err != nil {
		t.Fatal(err)
	}
	if got := listed(t, s); len(got) != 0 {
		t.Errorf("listed %v, want no record", got)
	}
	revoke(t, s, tenancy.Revocation{TokenID: id.TokenID})
	if _, err := authenticate(t, s, token); tenancy.ReasonOf(err) != tenancy.Revoked {
		t.Errorf("after its revocation: %v", err)
	}
	brief.Life = MaxPassing + 1
	if _, err := s.IssuePassing(brief); err == nil {
		t.Error("made a long-lived one without a record")
	}
}

func TestIssueRefuses(t *testing.T) {
	s := Open(filepath.Join(t.TempDir(), "data"), newClock().now)
	if _, _, err := s.Issue(grant(func(g *tenancy.Grant) { g.Tenant = "a|b" }), JWT); err == nil {
		t.Error("a bad tenant was granted")
	}
	if _, err := os.Stat(s.dir); err == nil {
		t.Error("a refused request left a data directory behind")
	}
	if _, _, err := s.Issue(grant(nil), "cookie"); err == nil || !strings.Contains(err.Error(), "cookie") {
		t.Errorf("unknown kind: %v", err)
	}
}

// A revocation that goes on, such as one written by hand, is not got round.
func TestIssueRefusesWhatIsRevoked(t *testing.T) {
	s, c := newStore(t)
	revoke(t, s, tenancy.Revocation{Subject: "ci"})
	if _, _, err := s.Issue(grant(nil), JWT); err == nil || !strings.Contains(err.Error(), `subject "ci"`) {
		t.Errorf("error = %v, want the subject", err)
	}
	revoke(t, s, tenancy.Revocation{Tenant: "b", IssuedBefore: c.now().Add(time.Hour)})
	if _, _, err := s.Issue(grant(func(g *tenancy.Grant) { g.Tenant, g.Subject = "b", "" }), API); err == nil || !strings.Contains(err.Error(), "issued before") {
		t.Errorf("error = %v, want the time", err)
	}
	issue(t, s, JWT, func(g *tenancy.Grant) { g.Subject = "another" })
}

func TestTokensRefuses(t *testing.T) {
	s, _ := newStore(t)
	_, made := issue(t, s, API, nil)
	path := s.recordFile(made.ID)
	good := readAll(t, path)
	change := func(name string, value any) string {
		var fields map[string]any
		if err := json.Unmarshal([]byte(good), &fields); err != nil {
			t.Fatal(err)
		}
		fields[name] = value
		changed, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return string(changed)
	}
	for name, content := range map[string]string{
		"empty":            "",
		"half":             good[:len(good)/2],
		"no object":        "[]",
		"no version":       change("version", 0),
		"later version":    change("version", 2),
		"another's":        change("id", "ABC"),
		"unknown kind":     change("kind", "cookie"),
		"a bad tenant":     change("tenant", "a|b"),
		"a bad one read":   change("tenants", []string{"a", ".."}),
		"no tenant":        change("tenant", ""),
		"no hash":          change("sha256", ""),
		"half a hash":      change("sha256", "abcd"),
		"no end":           change("expires", time.Time{}),
		"ends before":      change("expires", time.Unix(0, 0)),
		"a date of no use": change("issued", "soon"),
		"large":            good + strings.Repeat(" ", maxRecord),
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, path, content)
			_, err := s.APITokens()
			_, listErr := Open(s.dir, s.now).Tokens()
			if err == nil || listErr == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("errors %v and %v, want ones with the path", err, listErr)
			}
		})
	}
	writeFile(t, path, good)
	if tokens, err := s.APITokens(); err != nil || len(tokens) != 1 {
		t.Errorf("the file as it was: %v, %v", tokens, err)
	}
	if err := os.Chmod(path, 0o602); err != nil {
		t.Fatal(err)
	}
	if _, err := s.APITokens(); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("a file that others write: error = %v, want the chmod to run", err)
	}
}

// What is remembered of files must not outlive them.
func TestTokensFollowTheFiles(t *testing.T) {
	s, _ := newStore(t)
	_, first := issue(t, s, API, nil)
	_, second := issue(t, s, API, nil)
	if got := listed(t, s); len(got) != 2 {
		t.Fatalf("listed %v", got)
	}
	if err := os.Remove(s.recordFile(first.ID)); err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.recordFile(second.ID), strings.Replace(readAll(t, s.recordFile(second.ID)), `"ci"`, `"laptop"`, 1))
	if got := listed(t, s); len(got) != 1 || got[0].Subject != "laptop" {
		t.Errorf("listed %v, want the second as it is now", got)
	}
}

// Who looks only at the directory's modification time notices every token.
func TestEachTokenChangesTheDirectory(t *testing.T) {
	s, _ := newStore(t)
	seen := map[time.Time]bool{}
	const tokens = 50
	for range tokens {
		issue(t, s, API, nil)
		info, err := os.Stat(s.tokenDir())
		if err != nil {
			t.Fatal(err)
		}
		seen[info.ModTime()] = true
	}
	if len(seen) != tokens {
		t.Errorf("%d tokens gave the directory %d times", tokens, len(seen))
	}
}
