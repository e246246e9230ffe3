package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
	"github.com/invoscope/invoscope/relay/engine"
)

// stage is what runs together and ends together.
type stage struct {
	name string
	run  []func(context.Context) error
}

// started is a stage that runs until cancel.
type started struct {
	cancel context.CancelFunc
	group  *errgroup.Group
}

// Run runs the daemon until ctx ends, and calls ready once queries are answered.
// It returns what went wrong; a daemon that was told to end returns nil.
func (a *App) Run(ctx context.Context, ready func(runinfo.Info)) error {
	defer a.release()
	var isReady atomic.Bool
	stages := []stage{
		{"engines", []func(context.Context) error{a.loki.Run, a.tempo.Run}},
		{"index", []func(context.Context) error{a.runIndex}},
		{"queues", []func(context.Context) error{a.logs.Run, a.traces.Run}},
		{"tenancy", []func(context.Context) error{a.keepCurrent}},
		{"servers", a.servers(&isReady)},
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	var running []started
	for _, s := range stages {
		running = append(running, start(ctx, s, end))
	}
	var err error
	if a.awaitEngines(ctx) == nil {
		if err = a.announce(); err == nil {
			isReady.Store(true)
			ready(a.info)
			<-ctx.Done()
			isReady.Store(false)
		}
	}
	return errors.Join(err, runinfo.Remove(a.cfg.DataDir), stop(running))
}

// announce writes down where the daemon is.
func (a *App) announce() error {
	scheme := "http://"
	if a.cfg.Listen.TLS.Enabled() {
		scheme = "https://"
		var err error
		if a.info.CertFile, err = filepath.Abs(a.cfg.Listen.TLS.CertFile); err != nil {
			return fmt.Errorf("find the certificate: %w", err)
		}
	}
	a.info.HTTP = scheme + dialable(a.sockets.http)
	a.info.OTLPGRPC = dialable(a.sockets.otlpGRPC)
	a.info.OTLPHTTP = scheme + dialable(a.sockets.otlpHTTP)
	a.info.Admin = "http://" + dialable(a.sockets.admin)
	return runinfo.Write(a.cfg.DataDir, a.info)
}

// start runs a stage in a context of its own: it ends when it is stopped, not
// when the daemon is told to. A stage that fails ends the daemon.
func start(ctx context.Context, s stage, end func()) started {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	group, own := errgroup.WithContext(own)
	for _, run := range s.run {
		group.Go(func() error {
			err := run(own)
			if err != nil {
				end()
				return fmt.Errorf("%s: %w", s.name, err)
			}
			return nil
		})
	}
	return started{cancel: cancel, group: group}
}

// stop ends the stages, the last first, and returns what went wrong in them.
func stop(running []started) error {
	var errs []error
	for _, s := range slices.Backward(running) {
		s.cancel()
		errs = append(errs, s.group.Wait())
	}
	return errors.Join(errs...)
}

// sayWaiting is how often a daemon that waits for its engines says why.
const sayWaiting = 10 * time.Second

func (a *App) awaitEngines(ctx context.Context) error {
	for _, e := range []engine.Engine{a.loki, a.tempo} {
		for ctx.Err() == nil {
			soon, cancel := context.WithTimeout(ctx, sayWaiting)
			err := engine.WaitReady(soon, e)
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() == nil {
				a.log.Warn("waiting for an engine", "err", err)
			}
		}
	}
	return ctx.Err()
}
