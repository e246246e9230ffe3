package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
	"github.com/invoscope/invoscope/grafana"
	"github.com/invoscope/invoscope/tenancy"
)

// grafanaCmd is `invoscope grafana`.
type grafanaCmd struct {
	Provision grafanaProvisionCmd `cmd:"" help:"Print Grafana's provisioning file for the data sources."`
}

// grafanaProvisionCmd is `invoscope grafana provision`. What isn't given comes
// from the daemon that runs on the data directory, or ran there last.
type grafanaProvisionCmd struct {
	DataDir   string `default:"./data" env:"INVOSCOPE_DATA_DIR" placeholder:"DIR" help:"Directory of the daemon's data (${default})."`
	URL       string `name:"url" placeholder:"URL" help:"Where Grafana reaches Invoscope (default: where the daemon listens)."`
	Tenant    string `placeholder:"NAME" help:"Tenant in the names of the data sources (default: the token's)."`
	TokenFile string `xor:"token" placeholder:"FILE" help:"File with the token to put into the output (default: the daemon's own)."`
	CAFile    string `name:"ca-file" env:"INVOSCOPE_CA_FILE" placeholder:"FILE" help:"PEM: who vouches for Invoscope's certificate, if Grafana's system doesn't know."`
	TokenEnv  string `xor:"token" placeholder:"NAME" help:"Environment variable of the Grafana server that holds the token; the output then contains no secret."`
}

// Run prints the file on standard output.
func (c *grafanaProvisionCmd) Run(g *globals) error {
	options, err := c.options()
	if err != nil {
		return err
	}
	out, err := grafana.DataSources(options)
	if err != nil {
		return err
	}
	_, err = g.stdout.Write(out)
	return err
}

func (c *grafanaProvisionCmd) options() (grafana.Options, error) {
	run, err := runinfo.Read(c.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		run = runinfo.Info{HTTP: "http://127.0.0.1:3100", Tenant: "default", TokenFile: filepath.Join(c.DataDir, "token")}
	} else if err != nil {
		return grafana.Options{}, err
	}
	o := grafana.Options{URL: cmp.Or(c.URL, run.HTTP), TokenEnv: c.TokenEnv}
	if c.CAFile != "" {
		authority, err := os.ReadFile(c.CAFile)
		if err != nil {
			return grafana.Options{}, fmt.Errorf("read the authority: %w", err)
		}
		o.CACert = string(authority)
	}
	if c.TokenEnv != "" {
		o.Tenant = cmp.Or(c.Tenant, run.Tenant)
		return o, nil
	}
	path := cmp.Or(c.TokenFile, run.TokenFile)
	if o.Token, err = tenancy.ReadTokenFile(path); errors.Is(err, fs.ErrNotExist) && c.TokenFile == "" {
		return grafana.Options{}, fmt.Errorf("no token at %s: start `invoscope serve` first, or give --token-file or --token-env", path)
	} else if err != nil {
		return grafana.Options{}, err
	}
	// Data sources that carry one tenant's name and show another's data would
	// deceive. A token that can't be read is for the daemon to judge.
	holder := tenancy.UnverifiedTenant(o.Token)
	if c.Tenant != "" && holder != "" && c.Tenant != holder {
		return grafana.Options{}, fmt.Errorf("the token in %s is for tenant %s, not %s: give --token-file with a token of %s, or --token-env", path, holder, c.Tenant, c.Tenant)
	}
	o.Tenant = cmp.Or(c.Tenant, holder, run.Tenant)
	return o, nil
}
