package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/filewatch"
)

// asked is the reason of a reload that somebody has asked for.
const asked = "asked for"

const (
	// retryReload is how soon a reload that failed is tried again, whether a file has
	// changed or not: what went wrong may have been none of theirs.
	retryReload = 5 * time.Second
	// renewEvery is how often the daemon looks whether its token will expire.
	renewEvery = 12 * time.Hour
	// tellEvery is how often the engines are told of tenants that wrote for the first time.
	tellEvery = time.Minute
)

// reloads is what the daemon needs to take over changes while it runs.
type reloads struct {
	reader
	started config.Config // as it was given, before paths were made absolute
	source  []string      // the configuration's own files
	reread  func() (config.Config, error)

	asked   chan struct{}
	watched atomic.Pointer[filewatch.Files]

	running context.Context // of the sets of keys; nil before the daemon runs
	mu      sync.Mutex      // held during a reload
	current snapshot        // what is in force; only changed with mu
	told    *told           // nil if the engines may not know; only with mu
	stored  filewatch.Files // the data directory's own that reloadStore took over; only with mu
	state   atomic.Pointer[reloadState]
	metrics reloadMetrics
}

// reloadState is how the last reload went.
type reloadState struct {
	at      time.Time // when what is in force was put there
	err     error     // why the last reload changed nothing; nil if it went well
	restart []string  // settings that wait for a restart
}

// Reread says where the configuration can be read again: the files that it is in, as
// they were before it was read, and what reads it. Call it before [App.Run]. Without it
// the daemon keeps the configuration that it has, and watches the files named there.
func (a *App) Reread(files filewatch.Files, load func() (config.Config, error)) {
	a.source, a.reread = files.Paths(), load
	all := a.watched.Load().And(files)
	a.watched.Store(&all)
}

// Reload has everything read again, soon. It doesn't wait for that.
func (a *App) Reload() {
	select {
	case a.asked <- struct{}{}:
	default: // the one that is asked for already will do
	}
}

// keepCurrent reloads when files change or somebody asks for it, until ctx ends.
func (a *App) keepCurrent(ctx context.Context) error {
	a.mu.Lock()
	a.running = ctx
	for _, set := range a.current.sets {
		set.start(ctx)
	}
	a.mu.Unlock()
	var polling sync.WaitGroup
	polling.Go(func() {
		filewatch.Poll(ctx, func() filewatch.Files { return *a.watched.Load() }, a.filesChanged)
	})
	retry, tell, renew := time.NewTicker(retryReload), time.NewTicker(tellEvery), time.NewTicker(renewEvery)
	defer retry.Stop()
	defer tell.Stop()
	defer renew.Stop()
	for ctx.Err() == nil {
		select {
		case <-a.asked:
			a.reload(asked)
			a.reopenAudit()
		case <-retry.C:
			if a.state.Load().err != nil {
				a.reload("the last one failed")
			}
		case <-tell.C:
			a.tellEngines()
		case <-renew.C:
			a.renew()
		case <-ctx.Done():
		}
	}
	polling.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, set := range a.current.sets {
		set.stop()
	}
	return nil
}

// filesChanged reloads. A revocation doesn't wait until a large tenants file is read.
func (a *App) filesChanged(paths []string) {
	if own := a.store.Paths(); len(paths) > 1 && slices.ContainsFunc(paths, func(p string) bool { return slices.Contains(own, p) }) {
		a.mu.Lock()
		a.reloadStore()
		a.mu.Unlock()
	}
	a.reload("files changed: " + strings.Join(paths, ", "))
}

// reload reads everything anew and puts it in force, or leaves all as it is.
func (a *App) reload(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next, restart, err := a.readAgain(why == asked)
	if err == nil {
		err = a.putInForce(next)
	}
	last := a.state.Load()
	if err != nil {
		a.metrics.successful.Set(0)
		a.metrics.results.WithLabelValues("failed").Inc()
		if last.err == nil || last.err.Error() != err.Error() {
			a.log.Error("the reload failed; what was in force stays", "why", why, "err", err)
		}
		a.state.Store(&reloadState{at: last.at, err: err, restart: last.restart})
		a.reloadStore()
		return
	}
	a.state.Store(&reloadState{at: a.now(), restart: restart})
	a.metrics.results.WithLabelValues("ok").Inc()
	a.log.Info("reloaded", "why", why, "issuers", len(next.cfg.Tenancy.Issuers), "api_tokens", len(next.policy.APITokens),
		"revocations", len(next.policy.Revocations), "tenants", len(next.limits.Tenants))
	if len(restart) > 0 && strings.Join(restart, " ") != strings.Join(last.restart, " ") {
		a.log.Warn("some settings wait for a restart of the daemon", "settings", strings.Join(restart, ", "))
	}
	if err := a.ensureToken(); err != nil {
		a.log.Error("the token was not renewed", "err", err)
	}
}

// reloadStore takes over what has changed in the data directory alone, when something
// else is bad or takes its time: a mistake in a tenants file must not keep a stolen token
// good. If the data directory is what is bad, nothing changes. The caller holds mu.
func (a *App) reloadStore() {
	files := filewatch.Look(a.store.Paths()...)
	if files.Same(a.stored) {
		return // a reload that fails is tried again every few seconds
	}
	policy, err := a.readStore(a.current.policy)
	if err == nil {
		err = policy.Validate()
	}
	if err != nil {
		return // said by the reload of everything, as part of all that is wrong
	}
	a.authenticator.Swap(policy)
	a.current.policy, a.stored = policy, files
}

// readAgain reads everything. It looks at each file before it reads it, so that none
// can change unnoticed meanwhile. What has not changed is kept, unless whole is set.
func (a *App) readAgain(whole bool) (next snapshot, restart []string, err error) {
	files := filewatch.Look(a.watched.Load().Paths()...)
	defer func() { a.watched.Store(&files) }()
	c := a.started
	if a.reread != nil {
		if c, err = a.reread(); err != nil {
			return snapshot{}, nil, err
		}
	}
	restart = restartFor(a.started, c)
	c = apply(a.cfg, c)
	files = a.look(files, c).Only(append(a.files(c), a.source...)...)
	before := a.current
	if whole {
		before.read = filewatch.Files{}
	}
	next, err = a.read(c, before)
	return next, restart, err
}

// putInForce replaces what is in force, each part at once. Limits come before the
// policy, so that nobody whom it lets in is without them; sets of keys run before
// tokens need them, and those of before end when no request asks them any more.
func (a *App) putInForce(next snapshot) error {
	a.roster.Name(next.tenants...)
	if err := a.tell(next); err != nil {
		a.roster.Name(a.current.tenants...)
		return err
	}
	if a.running != nil {
		for _, set := range next.sets {
			set.start(a.running)
		}
	}
	a.limiter.Swap(next.limits)
	a.security.put(next.tls)
	a.authenticator.Swap(next.policy)
	a.auditQueries.Store(next.cfg.Audit.Queries)
	before := a.current
	a.current = next
	for _, set := range before.sets {
		if !next.has(set) {
			set.stop()
		}
	}
	a.metrics.successful.Set(1)
	a.metrics.succeededAt.Set(float64(a.now().Unix()))
	a.metrics.certificateEnds.Set(0)
	if end := notAfter(next.tls); !end.IsZero() {
		a.metrics.certificateEnds.Set(float64(end.Unix()))
	}
	return nil
}

// renew makes the daemon's token anew in time.
func (a *App) renew() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.ensureToken(); err != nil {
		a.log.Error("the token was not renewed", "err", err)
	}
}

// tellEngines tells the engines of the tenants that were seen meanwhile.
func (a *App) tellEngines() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.tell(a.current); err != nil {
		a.log.Error("the engines were not told of new tenants", "err", err)
	}
}

// tell tells the engines of the tenants' limits, unless they know.
func (a *App) tell(s snapshot) error {
	tenants := a.roster.Tenants()
	if a.told != nil && a.told.tenants == len(tenants) && a.told.limits.Same(s.read) {
		return nil
	}
	a.told = nil
	if err := a.overrideEngines(s.limits, tenants); err != nil {
		return err
	}
	a.told = &told{s.read, len(tenants)}
	return nil
}

// told is what the engines know: the limits of a file, and of how many tenants.
type told struct {
	limits  filewatch.Files
	tenants int
}

func (a *App) reopenAudit() {
	if a.audit == nil {
		return
	}
	if err := a.audit.Reopen(); err != nil {
		a.log.Error("the audit log was not opened again", "err", fmt.Errorf("reopen: %w", err))
	}
}
