package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

// tokenCmd is `invoscope token`. Its commands work on the files of a data directory,
// whether a daemon runs on it or not: whoever can read the signing key may issue tokens.
type tokenCmd struct {
	Issue   tokenIssueCmd   `cmd:"" help:"Print a new access token."`
	Inspect tokenInspectCmd `cmd:"" help:"Tell what a token allows, and whether it is accepted."`
	List    tokenListCmd    `cmd:"" help:"List the tokens that were issued and haven't expired."`
	Revoke  tokenRevokeCmd  `cmd:"" help:"Take tokens back. A daemon that runs refuses them within a second."`
}

// storeFlags say where tokens and keys are kept.
type storeFlags struct {
	DataDir string `default:"./data" env:"INVOSCOPE_DATA_DIR" placeholder:"DIR" help:"The daemon's data directory (${default})."`
}

// open returns the store of a directory that a daemon or a command has used before.
// Another one would be made, and what is revoked there is still accepted elsewhere.
func (f storeFlags) open(g *globals) (*store.Store, error) {
	if _, err := os.Stat(filepath.Join(f.DataDir, "keys")); err != nil {
		return nil, fmt.Errorf("there are no keys in %s (name the daemon's data directory with --data-dir)", f.DataDir)
	}
	return store.Open(f.DataDir, g.now), nil
}

// tokenIssueCmd is `invoscope token issue`.
type tokenIssueCmd struct {
	DataDir string   `default:"./data" env:"INVOSCOPE_DATA_DIR" placeholder:"DIR" help:"Directory of the daemon's data; its signing key is made when there is none (${default})."`
	Tenant  string   `placeholder:"NAME" help:"Tenant whose data the token writes and reads. Default: default, or none if --tenants names those that it reads."`
	Tenants []string `placeholder:"NAME" help:"More tenants whose data the token reads, at most 64; '*' is all. Repeat the flag or separate with commas."`
	Scope   []string `required:"" placeholder:"SCOPE" help:"What the token allows: logs:read, logs:write, traces:read, traces:write, invocations:read, provisioning:read, admin. Repeat the flag or separate with commas."`
	Subject string   `placeholder:"NAME" help:"Who will hold the token."`
	TTL     span     `name:"ttl" default:"90d" placeholder:"DURATION" help:"How long the token is valid, such as 12h or 30d (${default})."`
	Opaque  bool     `help:"Make a token that says nothing about itself, rather than a JWT. Only the data directory that it was made in knows it."`
}

// Run prints the token alone, so that `$(invoscope token issue …)` works.
func (c *tokenIssueCmd) Run(g *globals) error {
	grant, err := c.grant()
	if err != nil {
		return err
	}
	kind := store.JWT
	if c.Opaque {
		kind = store.API
	}
	token, made, err := store.Open(c.DataDir, g.now).Issue(grant, kind)
	if err != nil {
		return err
	}
	if grant.Life > tenancy.DefaultLife {
		fmt.Fprintf(g.stderr, "warning: the token is valid for %s, more than 90 days; to take it back before: invoscope token revoke %s\n", model.Duration(grant.Life), made.ID)
	}
	_, err = fmt.Fprintln(g.stdout, token)
	return err
}

func (c *tokenIssueCmd) grant() (tenancy.Grant, error) {
	grant := tenancy.Grant{Tenant: c.Tenant, Tenants: c.Tenants, Subject: c.Subject, Life: time.Duration(c.TTL)}
	if c.Tenant == "" && len(c.Tenants) == 0 {
		grant.Tenant = "default"
	}
	for _, name := range c.Scope {
		scope, err := tenancy.ParseScope(name)
		if err != nil {
			return grant, err
		}
		grant.Scopes = append(grant.Scopes, scope)
	}
	return grant, grant.Validate()
}

// errIsToken keeps a token, which is a secret, from being written down as an id.
var errIsToken = errors.New("that is a token, not the id of one: see `invoscope token inspect`")

// looksLikeToken tells a token from an id.
func looksLikeToken(s string) bool {
	return strings.HasPrefix(s, tenancy.APITokenPrefix) || strings.Count(s, ".") == 2 && strings.HasPrefix(s, "ey")
}
