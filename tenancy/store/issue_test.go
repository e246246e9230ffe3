package store

import (
	"io/fs"
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
