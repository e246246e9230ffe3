package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/relay"
	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/ingest"
	"github.com/invoscope/invoscope/relay/queue"
	"github.com/invoscope/invoscope/relay/rebuild"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
	"github.com/invoscope/invoscope/tenancy/limits"
	"github.com/invoscope/invoscope/tenancy/roster"
)

// App is one daemon. Make it with [New], run it once.
type App struct {
	cfg      config.Config
	log      *slog.Logger
	now      func() time.Time
	registry *prometheus.Registry
	lock     *os.File
	loki     supervised
	tempo    supervised
	index    *index.Index
	// indexStore is the index's, to be closed.
	indexStore index.Store
	tracesRest atomic.Int64 // until when only memory is asked for traces, in ns since 1970
	logs       *queue.Queue
	traces     *queue.Queue
	relay      *relay.Relay
	sockets    listeners
	info       runinfo.Info

	reloads       // what can be replaced while the daemon runs, and how
	authenticator *tenancy.Authenticator
	limiter       *limits.Limiter
	roster        *roster.Roster
	audit         *audit.Log // nil without one
	auditQueries  atomic.Bool
	security      security
	connections   *prometheus.GaugeVec
}

// supervised is an engine that runs for as long as the daemon does.
type supervised interface {
	engine.Engine
	Run(ctx context.Context) error
}

// New makes a daemon: after it, the addresses are taken and the data directory
// is ours, but nothing runs. Run gives back what New took. By now (usually
// time.Now) it judges dates, such as a token's end; spans of time it measures
// itself.
func New(cfg config.Config, log *slog.Logger, now func() time.Time) (_ *App, err error) {
	a := &App{cfg: cfg, log: log, now: now, registry: prometheus.NewRegistry()}
	a.started, a.asked, a.metrics = cfg, make(chan struct{}, 1), newReloadMetrics(a.registry)
	defer func() {
		if err != nil {
			a.release()
		}
	}()
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if a.cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	if err := os.MkdirAll(a.cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if a.lock, err = lockDir(a.cfg.DataDir); err != nil {
		return nil, err
	}
	// A daemon that was killed has left the addresses it had.
	if err := runinfo.Remove(a.cfg.DataDir); err != nil {
		return nil, err
	}
	if a.sockets, err = listen(cfg.Listen); err != nil {
		return nil, err
	}
	if err := a.openEngines(); err != nil {
		return nil, err
	}
	if err := a.openTenancy(); err != nil {
		return nil, err
	}
	if err := a.openIndex(); err != nil {
		return nil, err
	}
	if err := a.openQueues(); err != nil {
		return nil, errors.Join(err, a.indexStore.Close())
	}
	if err := a.openRelay(); err != nil {
		return nil, errors.Join(err, a.logs.Close(), a.traces.Close(), a.indexStore.Close())
	}
	return a, nil
}

func (a *App) openRelay() error {
	o := ingest.Options{
		Logs:       a.logs,
		Traces:     a.traces,
		DeadLogs:   a.logs,
		TenantKey:  a.cfg.Tenancy.Key,
		MaxBytes:   int64(a.cfg.Ingest.MaxRequestBytes),
		Relabel:    a.cfg.Ingest.Relabel(),
		TraceOf:    a.traceOf,
		Limits:     relay.IngestLimits(a.limiter),
		Now:        a.now,
		Registerer: a.registry,

		ContinuationLines: a.cfg.Ingest.ContinuationLines,
	}
	// What a remote engine takes only its operator knows.
	if c := a.cfg.Engines.Loki; c.URL == "" {
		o.LogMaxAge, o.MaxLead = time.Duration(c.Retention), engine.MaxLead
	}
	if c := a.cfg.Engines.Tempo; c.URL == "" {
		o.SpanMaxAge = time.Duration(c.Retention)
	}
	in, err := ingest.New(o)
	if err != nil {
		return err
	}
	options := relay.Options{
		Loki:          a.loki,
		Tempo:         a.tempo,
		Ingest:        in,
		Index:         a.index,
		Lookups:       a.cfg.Index.LookupsOf,
		TenantKey:     a.cfg.Tenancy.Key,
		GrafanaURL:    a.cfg.Grafana.URL,
		Now:           a.now,
		Rebuild:       rebuild.NewServer(rebuild.Options{Tempo: a.tempo, Index: a.index, Log: a.log, Now: a.now}),
		Authenticator: a.authenticator,
		Limits:        a.limiter,
		Roster:        a.roster,
		MaxBytes:      int64(a.cfg.Ingest.MaxRequestBytes),
		Log:           a.log,
		Registerer:    a.registry,
	}
	if a.audit != nil {
		options.Audit, options.AuditQueries = a.audit, a.auditQueries.Load
	}
	a.relay = relay.New(options)
	return nil
}

// release gives back what New took, for when it failed.
func (a *App) release() {
	a.sockets.close()
	a.closeTenancy()
	if a.lock != nil {
		_ = a.lock.Close() // nothing was written to it
	}
}
