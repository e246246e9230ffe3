package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

// tokenInspectCmd is `invoscope token inspect`.
type tokenInspectCmd struct {
	storeFlags `embed:""`
	outputFlag `embed:""`
	Token      string `arg:"" optional:"" default:"-" help:"The token, or - to read it from standard input. What stands here, others on the machine can see."`
	TokenFile  string `placeholder:"FILE" help:"File with the token."`
}

// Help is shown by invoscope token inspect --help.
func (*tokenInspectCmd) Help() string {
	return `It goes by the data directory alone: what its keys signed, and what was issued and revoked there. The claims of another issuer's token are shown, but not whether they are true.
The token's secret is never printed. Exit codes: 0 the token is accepted, 1 it isn't, or can't be verified here.`
}

// inspection is what is found out about a token.
type inspection struct {
	Kind      store.Kind    `json:"kind,omitempty"`
	State     string        `json:"state"`
	Why       string        `json:"why,omitempty"`
	ID        string        `json:"id,omitempty"`
	Issuer    string        `json:"issuer,omitempty"`
	Audience  []string      `json:"audience,omitempty"`
	Subject   string        `json:"subject,omitempty"`
	Tenant    string        `json:"tenant,omitempty"`
	Tenants   []string      `json:"tenants,omitempty"`
	Scopes    []string      `json:"scopes,omitempty"`
	Issued    time.Time     `json:"issued,omitzero"`
	NotBefore time.Time     `json:"not_before,omitzero"`
	Expires   time.Time     `json:"expires,omitzero"`
	Algorithm string        `json:"algorithm,omitempty"`
	Key       *inspectedKey `json:"key,omitempty"`
	// Claims are a JWT's others, as they are.
	Claims map[string]json.RawMessage `json:"claims,omitempty"`
}

// inspectedKey is the key that a JWT names.
type inspectedKey struct {
	ID    string    `json:"kid"`
	State string    `json:"state"` // of [store.KeyState], or unknown
	Until time.Time `json:"until,omitzero"`
}

// Run prints what is found out, and fails unless the token is accepted.
func (c *tokenInspectCmd) Run(g *globals) error {
	token, err := c.read(g)
	if err != nil {
		return err
	}
	s, err := c.open(g)
	if err != nil {
		return err
	}
	known, err := readKnown(s)
	if err != nil {
		return err
	}
	var found *inspection
	if strings.HasPrefix(token, tenancy.APITokenPrefix) {
		found, err = inspectAPI(s, known, token, g.now())
	} else {
		found, err = inspectJWT(s, known, token, g.now)
	}
	if err != nil {
		return err
	}
	if c.json() {
		err = writeLines(g.stdout, found)
	} else {
		err = found.write(g.stdout, g.now())
	}
	switch {
	case err != nil || found.State == stateValid:
		return err
	case found.State == stateUnverified:
		return errors.New("the token can't be verified here")
	}
	return errors.New("the token isn't accepted: " + found.State)
}

func (c *tokenInspectCmd) read(g *globals) (string, error) {
	switch {
	case c.TokenFile != "" && c.Token != "-":
		return "", codedError{errors.New("give a token or --token-file, not both"), exitUsage}
	case c.TokenFile != "":
		return tenancy.ReadTokenFile(c.TokenFile)
	case c.Token != "-":
		return tenancy.ReadToken(strings.NewReader(c.Token))
	}
	if file, ok := g.stdin.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprintln(g.stderr, "Paste the token, then press Enter and Ctrl-D.")
	}
	token, err := tenancy.ReadToken(g.stdin)
	if err != nil {
		return "", fmt.Errorf("read the token from standard input: %w", err)
	}
	return token, nil
}

// write prints a line for each thing that is known.
func (i *inspection) write(w io.Writer, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	state := i.State
	if i.Why != "" {
		state += ": " + i.Why
	}
	kind := string(i.Kind)
	if i.Algorithm != "" {
		kind += ", " + i.Algorithm
	}
	line := func(name, value string) {
		if value != "" {
			row(table, name, value)
		}
	}
	line("state", state)
	line("kind", kind)
	line("id", i.ID)
	line("issuer", i.Issuer)
	line("audience", strings.Join(i.Audience, ", "))
	line("subject", i.Subject)
	line("tenant", tenantText(i.Tenant, i.Tenants))
	line("scopes", strings.Join(i.Scopes, ", "))
	for _, t := range []struct {
		name string
		at   time.Time
	}{{"issued", i.Issued}, {"not before", i.NotBefore}, {"expires", i.Expires}} {
		// That a token is good from when it was issued goes without saying.
		if !t.at.IsZero() && (t.name != "not before" || !t.at.Equal(i.Issued)) {
			line(t.name, stamp(t.at, now))
		}
	}
	if k := i.Key; k != nil {
		text := cmp.Or(k.ID, "none named") + " (" + k.State
		if !k.Until.IsZero() {
			text += ", accepted until " + stamp(k.Until, now)
		}
		line("key", text+")")
	}
	for _, name := range slices.Sorted(maps.Keys(i.Claims)) {
		line("claim "+name, string(i.Claims[name]))
	}
	return table.Flush()
}
