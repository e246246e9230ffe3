package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

// tokenListCmd is `invoscope token list`.
type tokenListCmd struct {
	storeFlags `embed:""`
	outputFlag `embed:""`
	Tenant     string `placeholder:"NAME" help:"Only those that open this tenant's data."`
}

// Help is shown by invoscope token list --help.
func (*tokenListCmd) Help() string {
	return `Shown are the tokens of "token issue" and the daemon's own. A token of another issuer is not known before it comes, nor is one that a command made for itself for a few minutes.`
}

// listedToken is a token as `token list -o json` prints it.
type listedToken struct {
	ID      string          `json:"id"`
	Kind    store.Kind      `json:"kind"`
	Tenant  string          `json:"tenant,omitempty"`
	Tenants []string        `json:"tenants,omitempty"`
	Subject string          `json:"subject,omitempty"`
	Scopes  []tenancy.Scope `json:"scopes"`
	Issued  time.Time       `json:"issued"`
	Expires time.Time       `json:"expires"`
	KeyID   string          `json:"kid,omitempty"`
	State   string          `json:"state"`
	Why     string          `json:"why,omitempty"`
}

// Run prints a table, or a line for each.
func (c *tokenListCmd) Run(g *globals) error {
	s, err := c.open(g)
	if err != nil {
		return err
	}
	tokens, err := s.Tokens()
	if err != nil {
		return err
	}
	known, err := readKnown(s)
	if err != nil {
		return err
	}
	var list []listedToken
	for i := range tokens {
		t := &tokens[i]
		if c.Tenant != "" && !opens(t, c.Tenant) {
			continue
		}
		state, why := known.judge(t, g.now())
		list = append(list, listedToken{t.ID, t.Kind, t.Tenant, t.Tenants, t.Subject, t.Scopes, t.Issued, t.Expires, t.KeyID, state, why})
	}
	if c.json() {
		return writeLines(g.stdout, list...)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(g.stdout, "no tokens")
		return err
	}
	table := tabwriter.NewWriter(g.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tKIND\tTENANT\tSUBJECT\tSCOPES\tISSUED\tEXPIRES\tSTATE")
	for _, t := range list {
		state := t.State
		if t.Why != "" {
			state += ": " + t.Why
		}
		row(table, t.ID, string(t.Kind), tenantText(t.Tenant, t.Tenants), cmp.Or(t.Subject, "-"), scopeText(t.Scopes),
			away(t.Issued, g.now()), away(t.Expires, g.now()), state)
	}
	return table.Flush()
}

// opens tells whether the token reads or writes a tenant's data.
func opens(t *store.Token, tenant string) bool {
	id := t.Identity()
	return id.Tenant == tenant || id.ReadsAll || slices.Contains(id.Reads, tenant)
}

// tenantText is the tenant that a token writes, and those that it reads.
func tenantText(tenant string, reads []string) string {
	if len(reads) == 0 {
		return tenant
	}
	text := "reads " + strings.Join(reads, ",")
	if tenant != "" {
		text = tenant + ", " + text
	}
	return text
}

func scopeText(scopes []tenancy.Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ",")
}

// known is what decides about the tokens of a data directory.
type known struct {
	keys    []store.KeyInfo
	revoked []store.Revocation
}

func readKnown(s *store.Store) (k known, err error) {
	if k.keys, err = s.Keys(); err != nil {
		return k, err
	}
	k.revoked, err = s.Revoked()
	return k, err
}

// The states of a token.
const (
	stateValid       = "valid"
	stateExpired     = "expired"
	stateRevoked     = "revoked"
	stateUnknownKey  = "unknown key"
	stateNotYetValid = "not yet valid"
	stateForged      = "bad signature"
	stateUnknown     = "unknown"
	stateUnverified  = "not verified"
	stateMalformed   = "malformed"
)

// judge returns the state of a token that was issued here, and what is to be said of it.
func (k known) judge(t *store.Token, now time.Time) (state, why string) {
	if r := k.revocation(t.Identity()); r != nil {
		return stateRevoked, r.Why
	}
	if !now.Before(t.Expires) {
		return stateExpired, ""
	}
	if t.Kind != store.JWT {
		return stateValid, ""
	}
	key := k.key(t.KeyID)
	switch {
	case key == nil:
		return stateUnknownKey, "it was signed by a key that is gone"
	case key.State == store.Expired:
		return stateUnknownKey, "its key was retired, and accepted until " + key.Until.UTC().Format(time.RFC3339)
	case key.State == store.Retired && key.Until.Before(t.Expires):
		return stateValid, "until its retired key ends " + away(key.Until, now)
	}
	return stateValid, ""
}

// key returns nil for a key that isn't known.
func (k known) key(id string) *store.KeyInfo {
	i := slices.IndexFunc(k.keys, func(info store.KeyInfo) bool { return info.ID == id })
	if i < 0 {
		return nil
	}
	return &k.keys[i]
}

// revocation returns the first that hits a token, or nil.
func (k known) revocation(id tenancy.Identity) *store.Revocation {
	i := slices.IndexFunc(k.revoked, func(r store.Revocation) bool { return r.Names(id) })
	if i < 0 {
		return nil
	}
	return &k.revoked[i]
}
