package app

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/filewatch"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
	"github.com/invoscope/invoscope/tenancy/keyset"
	"github.com/invoscope/invoscope/tenancy/limits"
	"github.com/invoscope/invoscope/tenancy/roster"
	"github.com/invoscope/invoscope/tenancy/store"
)

// openTenancy reads the first snapshot and makes what decides by it. Unlike a later
// one, it has to be good.
func (a *App) openTenancy() (err error) {
	a.connections = promauto.With(a.registry).NewGaugeVec(prometheus.GaugeOpts{
		Name: "invoscope_app_connections",
		Help: "Connections that are open, by port.",
	}, []string{"port"})
	a.reader = reader{
		store:  store.Open(a.cfg.DataDir, a.now),
		opener: opener{log: a.log, metrics: keyset.NewMetrics(a.registry), now: a.now},
	}
	if _, err := a.store.SigningKey(); err != nil {
		return fmt.Errorf("open the signing key: %w", err)
	}
	// Before the files are looked at, so that it isn't a change of theirs.
	a.info.Tenant = a.cfg.Tenancy.DefaultTenant
	a.info.TokenFile = filepath.Join(a.cfg.DataDir, "token")
	if err := a.ensureFirstToken(); err != nil {
		return err
	}
	files := a.look(filewatch.Files{}, a.cfg)
	first, err := a.read(a.cfg, snapshot{})
	if err != nil {
		return err
	}
	a.watched.Store(&files)
	if a.roster, err = roster.Open(filepath.Join(a.cfg.DataDir, "tenants")); err != nil {
		return err
	}
	if err := a.openAudit(); err != nil {
		return err
	}
	a.limiter = limits.New(first.limits, limits.Options{Registerer: a.registry, Now: a.now})
	a.authenticator = tenancy.NewAuthenticator(first.policy, a.now)
	if err := a.putInForce(first); err != nil {
		return err
	}
	a.state.Store(&reloadState{at: a.now()})
	return nil
}

func (a *App) openAudit() (err error) {
	c := a.cfg.Audit
	if c.File == "" {
		return nil
	}
	a.audit, err = audit.Open(audit.Options{
		File: c.File, MaxBytes: int64(c.MaxBytes), MaxFiles: int(c.MaxFiles),
		Log: a.log, Registerer: a.registry, Now: a.now,
	})
	return err
}

// closeTenancy closes the files of openTenancy.
func (a *App) closeTenancy() {
	if a.roster != nil {
		if err := a.roster.Close(); err != nil {
			a.log.Warn("the roster of tenants was not closed", "err", err)
		}
	}
	if a.audit != nil {
		if err := a.audit.Close(); err != nil {
			a.log.Warn("the audit log was not closed", "err", err)
		}
	}
}

// ensureFirstToken makes the daemon's own token. Somebody may have revoked all such
// tokens: then there is none, and the daemon runs all the same.
func (a *App) ensureFirstToken() error {
	err := a.ensureToken()
	if err == nil {
		return nil
	}
	if revoked, revokedErr := a.store.Revocations(); revokedErr != nil || len(revoked) == 0 {
		return errors.Join(err, revokedErr)
	}
	a.log.Error("the daemon has no token of its own", "err", err)
	return nil
}

// ensureToken makes the daemon's own token, or a new one in place of one that is no
// longer good.
func (a *App) ensureToken() error {
	if _, err := a.store.EnsureToken(a.info.TokenFile, a.info.Tenant); err != nil {
		return fmt.Errorf("make the token: %w", err)
	}
	return nil
}
