package main

import (
	"fmt"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/app"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Report everything that is wrong with the configuration."`
	Print configPrintCmd `cmd:"" help:"Print the configuration in force, secrets hidden."`
}

type configCheckCmd struct {
	configFlags `embed:""`
}

// Run succeeds when the configuration is valid, and all that can be told without asking
// the network of the files that it names and of the data directory's keys.
func (c *configCheckCmd) Run(g *globals) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if err := app.CheckFiles(cfg, g.log, clock()); err != nil {
		return err
	}
	_, err = fmt.Fprintln(g.stdout, "the configuration is valid")
	return err
}

type configPrintCmd struct {
	configFlags `embed:""`
}

// Run prints the defaults with file, environment and flags over them.
func (c *configPrintCmd) Run(g *globals) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	return cfg.Print(g.stdout)
}
