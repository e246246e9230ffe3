package main

import (
	"fmt"
	"time"

	"github.com/invoscope/invoscope/relay/rebuild"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

// indexCmd is `invoscope index`.
type indexCmd struct {
	Rebuild indexRebuildCmd `cmd:"" help:"Fill the invocation index from the traces that Tempo has. What only log lines tell, such as that an invocation is paused, doesn't come back."`
}

// indexRebuildCmd is `invoscope index rebuild`.
type indexRebuildCmd struct {
	DataDir   string `default:"./data" env:"INVOSCOPE_DATA_DIR" placeholder:"DIR" help:"The daemon's data directory, for its address and to make a token (${default})."`
	URL       string `name:"url" env:"INVOSCOPE_URL" placeholder:"URL" help:"Address of Invoscope. Default: that of the daemon that uses the data directory."`
	TokenFile string `xor:"who" env:"INVOSCOPE_TOKEN_FILE" placeholder:"FILE" help:"File with a token that has the scope admin. Default: one made with the data directory's key."`
	Tenant    string `xor:"who" placeholder:"NAME" help:"Whose index. Default: the daemon's own tenant."`
	tlsFlags  `embed:""`
	Since     string `required:"" placeholder:"DURATION" help:"How far back, such as 36h or 14d."`
}

// Run prints how far the rebuild is, a line for each hour that had traces.
func (c *indexRebuildCmd) Run(g *globals) error {
	session, err := c.connect()
	if err != nil {
		return err
	}
	var last rebuild.Progress
	for progress, err := range session.Rebuild(g.ctx, c.Since) {
		if err != nil {
			return err
		}
		if progress.Traces != last.Traces && !progress.Done {
			fmt.Fprintf(g.stdout, "back to %s: %d traces\n", progress.Back.Format(time.RFC3339), progress.Traces)
		}
		last = progress
	}
	fmt.Fprintf(g.stdout, "done: %d traces of tenant %s read", last.Traces, session.tenant)
	if last.Unreadable > 0 {
		fmt.Fprintf(g.stdout, ", %d of them unreadable", last.Unreadable)
	}
	_, err = fmt.Fprintln(g.stdout)
	return err
}

// rebuildTokenLife is how long a rebuild may take to begin; a request goes on when
// its token expires.
const rebuildTokenLife = store.MaxPassing

// connect returns a client that may rebuild. Whoever can read the signing key needs
// no token.
func (c *indexRebuildCmd) connect() (session, error) {
	flags := apiFlags{DataDir: c.DataDir, URL: c.URL, TokenFile: c.TokenFile, tlsFlags: c.tlsFlags}
	s, err := flags.connect()
	if err != nil || c.TokenFile != "" {
		return s, err
	}
	if c.Tenant != "" {
		s.tenant = c.Tenant
	}
	s.Token, err = store.Open(c.DataDir, clock()).IssuePassing(tenancy.Grant{
		Tenant: s.tenant, Subject: "invoscope index rebuild", Scopes: []tenancy.Scope{tenancy.Admin}, Life: rebuildTokenLife,
	})
	return s, err
}
