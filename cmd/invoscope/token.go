package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// tokenCmd is `invoscope token`.
type tokenCmd struct {
	Issue tokenIssueCmd `cmd:"" help:"Print a new access token."`
}

// tokenIssueCmd is `invoscope token issue`. It works without a running daemon:
// whoever can read the signing key may issue tokens.
type tokenIssueCmd struct {
	DataDir string        `default:"./data" env:"INVOSCOPE_DATA_DIR" placeholder:"DIR" help:"Directory of the daemon's data; its signing key is made when there is none (${default})."`
	Tenant  string        `default:"default" placeholder:"NAME" help:"Tenant whose data the token opens (${default})."`
	Scope   []string      `required:"" placeholder:"SCOPE" help:"What the token allows: logs:read, logs:write, traces:read, traces:write, invocations:read, provisioning:read, admin. Repeat the flag or separate with commas."`
	Subject string        `placeholder:"NAME" help:"Who will hold the token."`
	TTL     time.Duration `name:"ttl" default:"2160h" placeholder:"DURATION" help:"How long the token is valid (${default})."`
}

// Run prints the token alone, so that `$(invoscope token issue …)` works.
func (c *tokenIssueCmd) Run(g *globals) error {
	grant := tenancy.Grant{Tenant: c.Tenant, Subject: c.Subject, Life: c.TTL}
	for _, name := range c.Scope {
		scope, err := tenancy.ParseScope(name)
		if err != nil {
			return err
		}
		grant.Scopes = append(grant.Scopes, scope)
	}
	// Before a key is made for a request that can't be granted.
	if err := grant.Validate(); err != nil {
		return err
	}
	key, err := tenancy.OpenKey(filepath.Join(c.DataDir, "keys"))
	if err != nil {
		return err
	}
	issued, err := tenancy.NewSigner(key, clock()).Issue(grant)
	if err != nil {
		return err
	}
	if c.TTL > tenancy.DefaultLife {
		fmt.Fprintf(g.stderr, "warning: the token is valid for %s, more than 90 days; there is no way to take it back before\n", c.TTL)
	}
	_, err = fmt.Fprintln(g.stdout, issued.Token)
	return err
}
