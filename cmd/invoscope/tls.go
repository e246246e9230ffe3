package main

import (
	"strings"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/trust"
)

// tlsFlags say whom a client believes to be Invoscope, and what it shows of itself.
type tlsFlags struct {
	CAFile   string `name:"ca-file" env:"INVOSCOPE_CA_FILE" placeholder:"FILE" help:"PEM: who vouches for Invoscope's certificate. Default: the system's authorities or, for the daemon that uses the data directory, its certificate itself."`
	CertFile string `name:"cert-file" env:"INVOSCOPE_CERT_FILE" placeholder:"FILE" help:"PEM: a client certificate to show, for an Invoscope that asks for one."`
	KeyFile  string `name:"key-file" env:"INVOSCOPE_KEY_FILE" placeholder:"FILE" help:"PEM: the key of --cert-file."`
}

// trust returns whom to trust at an address. The daemon on the same data directory is
// known by its certificate.
func (f tlsFlags) trust(address string, run runinfo.Info) trust.Options {
	o := trust.Options{CAFile: f.CAFile, CertFile: f.CertFile, KeyFile: f.KeyFile}
	if f.CAFile == "" && strings.TrimSuffix(address, "/") == run.HTTP {
		o.ServerCertFile = run.CertFile
	}
	return o
}
