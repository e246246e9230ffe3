package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/filewatch"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/limits"
	"github.com/invoscope/invoscope/tenancy/store"
)

// snapshot is all that can be replaced while the daemon runs, read whole before any of
// it is put in force.
type snapshot struct {
	cfg     config.Config
	policy  tenancy.Policy
	sets    []*runningSet // of the policy, but for our own keys
	limits  limits.Set
	read    filewatch.Files // what limits were read from, as it was before
	tenants []string        // that somebody has named
	tls     *tls.Config     // nil without TLS
}

// reader reads snapshots.
type reader struct {
	store *store.Store
	opener
}

// files returns what a snapshot of a configuration is read from, besides its own file.
func (r reader) files(c config.Config) []string {
	paths := append(r.store.Paths(), c.Tenancy.TenantsFile, c.Listen.TLS.CertFile, c.Listen.TLS.KeyFile, c.Listen.TLS.ClientCAFile)
	for _, i := range c.Tenancy.Issuers {
		for _, k := range i.Keys {
			paths = append(paths, k.File, k.SecretFile, k.JWKSFile, k.CAFile)
		}
	}
	return paths
}

// read reads everything, and returns all that is wrong with it. What is before stays
// where it needn't be read anew.
func (r reader) read(c config.Config, before snapshot) (snapshot, error) {
	next := snapshot{cfg: c}
	var errs [4]error
	next.policy, next.sets, errs[0] = r.readPolicy(c, before.sets)
	if before.hasLimits(c) {
		next.limits, next.read = before.limits, before.read
	} else {
		next.read = filewatch.Look(c.Tenancy.TenantsFile)
		next.limits, errs[1] = config.LoadTenants(c.Tenancy.TenantsFile, c)
	}
	next.tls, errs[2] = readTLS(c.Listen.TLS)
	if errors.Join(errs[:]...) == nil {
		errs[3] = next.policy.Validate()
	}
	next.tenants = slices.Sorted(maps.Keys(next.limits.Tenants))
	if !slices.Contains(next.tenants, c.Tenancy.DefaultTenant) {
		next.tenants = append(next.tenants, c.Tenancy.DefaultTenant)
	}
	return next, errors.Join(errs[:]...)
}

func (r reader) readPolicy(c config.Config, before []*runningSet) (p tenancy.Policy, sets []*runningSet, err error) {
	p = c.Tenancy.Policy()
	var errs []error
	for n, i := range c.Tenancy.Issuers {
		opened, err := r.open(i, fmt.Sprintf("tenancy.issuers[%d]", n), before)
		errs = append(errs, err)
		for _, set := range opened {
			p.Issuers[n].Keys = append(p.Issuers[n].Keys, set)
		}
		sets = append(sets, opened...)
	}
	p, err = r.readStore(p)
	return p, sets, errors.Join(append(errs, err)...)
}

// readStore returns p with what the data directory knows, in place of what p has of
// that. The daemon's own issuer is the first.
func (r reader) readStore(p tenancy.Policy) (tenancy.Policy, error) {
	own, keysErr := r.store.KeySet()
	others := slices.DeleteFunc(slices.Clone(p.Issuers), func(i tenancy.Issuer) bool { return i.Name == tenancy.Own(nil).Name })
	p.Issuers = append([]tenancy.Issuer{tenancy.Own(own)}, others...)
	var tokensErr, revokedErr error
	p.APITokens, tokensErr = r.store.APITokens()
	p.Revocations, revokedErr = r.store.Revocations()
	return p, errors.Join(keysErr, tokensErr, revokedErr)
}

// CheckFiles reads the files that a configuration names, and those of its data
// directory, and returns all that is wrong with them. It asks nothing of the network.
func CheckFiles(c config.Config, log *slog.Logger, now func() time.Time) error {
	r := reader{store: store.Open(c.DataDir, now), opener: opener{log: log, now: now}}
	_, err := r.read(c, snapshot{})
	return err
}

// look returns how the files of a snapshot are now. Those that early has were looked at
// before, which is what counts.
func (r reader) look(early filewatch.Files, c config.Config) filewatch.Files {
	return early.And(filewatch.Look(r.files(c)...))
}

// reloadable reports whether a setting is put in force while the daemon runs.
func reloadable(path string, hasTLS bool) bool {
	switch path {
	case "tenancy.host_suffix", "tenancy.tenants_file", "tenancy.issuers", "tenancy.certificates", "audit.queries":
		return true
	case "listen.tls.cert_file", "listen.tls.key_file", "listen.tls.client_ca_file", "listen.tls.require_client_certificate":
		return hasTLS
	}
	return false
}

// restartFor returns the settings that differ from those that the daemon was started
// with and have to wait for its next start. It undoes them in c.
func restartFor(started, c config.Config) []string {
	hasTLS := started.Listen.TLS.Enabled()
	return slices.DeleteFunc(started.Differences(c), func(path string) bool { return reloadable(path, hasTLS && c.Listen.TLS.Enabled()) })
}

// apply returns what the daemon was started with, with what of c can be put in force.
func apply(started, c config.Config) config.Config {
	next := started
	next.Audit.Queries = c.Audit.Queries
	t := &next.Tenancy
	t.HostSuffix, t.TenantsFile, t.Issuers, t.Certificates = c.Tenancy.HostSuffix, c.Tenancy.TenantsFile, c.Tenancy.Issuers, c.Tenancy.Certificates
	if started.Listen.TLS.Enabled() && c.Listen.TLS.Enabled() {
		next.Listen.TLS = c.Listen.TLS
	}
	return next
}

// hasLimits reports whether its limits are those of a configuration, so that a file of
// many tenants needn't be read for every token that is revoked.
func (s snapshot) hasLimits(c config.Config) bool {
	paths := s.read.Paths()
	return len(paths) == 1 && paths[0] == c.Tenancy.TenantsFile && s.cfg.Ingest.MaxRequestBytes == c.Ingest.MaxRequestBytes && len(s.read.Changed()) == 0
}

// has reports whether a set of keys is one of the snapshot's.
func (s snapshot) has(set *runningSet) bool { return slices.Contains(s.sets, set) }
