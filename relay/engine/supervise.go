package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// firstBackoff and maxBackoff bound the wait before a restart, give or take
	// the half of it. It doubles each time.
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 30 * time.Second
	// stableAfter is how long a child has to be ready for its next end to be the
	// first of a new series.
	stableAfter = time.Minute
	// staleTimeout is how long a child of a former daemon may take to die.
	staleTimeout = 10 * time.Second
	// probeTimeout bounds one question whether the child is ready.
	probeTimeout = 2 * time.Second
)

// Run starts the child, starts it again whenever it ends, and stops it when ctx
// ends; then it returns nil. It returns an error at once when it can't run at
// all: the program isn't there, or another daemon has the data directory. A
// child that keeps dying is not an error: Ready tells about it. Run may be
// called once.
func (e *Embedded) Run(ctx context.Context) error {
	if e.client.pusher != nil {
		defer e.client.close()
	}
	release, err := e.claim()
	if err != nil {
		return fmt.Errorf("run %s: %w", e.kind.name, err)
	}
	defer release()
	defer e.update(func(now *incarnation) { now.reason = errors.New("stopped") })

	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.Multiplier, wait.MaxInterval = e.opts.backoff, 2, maxBackoff
	for ctx.Err() == nil {
		ready, err := e.live(ctx)
		if ctx.Err() != nil {
			break
		}
		if ready >= stableAfter {
			wait.Reset()
		}
		pause := wait.NextBackOff()
		e.restarts.Inc()
		e.log.Error("engine ended unexpectedly and will be started again", "err", err, "pause", pause)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// claim makes sure that the engine can be run and that no other daemon does.
func (e *Embedded) claim() (release func(), err error) {
	if e.err != nil {
		return nil, e.err
	}
	if e.opts.Binary, err = exec.LookPath(e.opts.Binary); err != nil {
		return nil, fmt.Errorf("find the program: %w", err)
	}
	if err := e.layout.create(); err != nil {
		return nil, err
	}
	lock, err := tryLock(e.layout.Lock)
	if err != nil {
		if lock != nil {
			lock.Close()
		}
		return nil, fmt.Errorf("claim %s: %w", e.layout.DataDir, err)
	}
	unregister, err := e.register()
	if err != nil {
		lock.Close()
		return nil, err
	}
	return func() { unregister(); lock.Close() }, nil
}

// live is one life of the child: it returns once the child is gone, with how
// long it was ready and why it ended.
func (e *Embedded) live(ctx context.Context) (ready time.Duration, err error) {
	logs := newChildLog(e.log, e.kind)
	child, err := e.start(ctx, logs)
	if err != nil {
		e.update(func(now *incarnation) { now.reason = err })
		return 0, err
	}
	defer func() {
		e.update(func(now *incarnation) { now.alive, now.ready, now.reason = false, false, err })
	}()
	if err := e.awaitReady(ctx, child); err != nil {
		e.stop(child, logs)
		return 0, fmt.Errorf("%w; its last lines:\n%s", err, logs.lines())
	}
	since := time.Now()
	e.update(func(now *incarnation) { now.ready, now.reason = true, nil })
	select {
	case <-ctx.Done():
		e.update(func(now *incarnation) { now.ready, now.reason = false, errors.New("stopping") })
		e.stop(child, logs)
		return time.Since(since), nil
	case <-logs.losing:
		// The queue still has what was acknowledged lately, and sends it to the next.
		child.kill()
		<-child.done
		return time.Since(since), errors.New("it could not write what it had acknowledged to its disk, and was killed")
	case <-child.done:
		return time.Since(since), errors.New(exitText(child.err))
	}
}

// update replaces the incarnation by a changed copy. Only the goroutine of Run calls it.
func (e *Embedded) update(change func(*incarnation)) {
	now := *e.current.Load()
	change(&now)
	e.current.Store(&now)
}

// start starts a child, after what was left of a former one.
func (e *Embedded) start(ctx context.Context, logs *childLog) (*process, error) {
	lock, err := e.lockChild(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the child has its own copy
	if err := e.layout.removeSockets(); err != nil {
		return nil, err
	}
	if err := writeConfig(e.kind.template, e.opts.Retention, e.layout); err != nil {
		return nil, err
	}
	if e.kind.repair != nil {
		repaired, err := e.kind.repair(e.layout.DataDir, e.opts.Retention)
		if err != nil {
			return nil, err
		}
		if len(repaired) > 0 {
			e.log.Warn("the engine was killed in the middle of a write, which was put right", "paths", repaired)
		}
	}
	child, err := startProcess(processSpec{
		binary: e.opts.Binary,
		args:   []string{"-config.file=" + e.layout.Config},
		env:    append(environment(os.Environ()), e.opts.env...),
		lock:   lock,
		guard:  e.opts.guard,
		output: logs.copy,
	})
	if err != nil {
		return nil, err
	}
	e.update(func(now *incarnation) {
		*now = incarnation{generation: now.generation + 1, started: time.Now(), alive: true, reason: errors.New("starting")}
	})
	if _, err := lock.WriteAt([]byte(strconv.Itoa(child.pid)), 0); err != nil {
		e.log.Warn("the engine's process id could not be noted", "err", err)
	}
	e.log.Debug("engine started", "pid", child.pid)
	return child, nil
}

// lockChild takes the lock that a child holds for as long as it lives. Whoever
// still has it is a child of a daemon that is gone, and its group stands in the
// file: the group's id can't be another's, since one of its members holds the lock.
func (e *Embedded) lockChild(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, staleTimeout)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		lock, err := tryLock(e.layout.ChildLock)
		if err == nil {
			if err := lock.Truncate(0); err != nil {
				lock.Close()
				return nil, fmt.Errorf("take the child's lock: %w", err)
			}
			return lock, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, err
		}
		killNoted(lock)
		lock.Close()
		select {
		case <-ctx.Done():
			return nil, errors.New("a former child of this engine doesn't end")
		case <-tick.C:
		}
	}
}

// killNoted kills the process group that the lock's holder was started as.
func killNoted(lock *os.File) {
	text, err := io.ReadAll(io.LimitReader(lock, 20))
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// awaitReady asks the child until it is ready. It returns an error when the
// child ended, took too long, or ctx ended.
func (e *Embedded) awaitReady(ctx context.Context, child *process) error {
	begin := time.Now()
	timeout := time.NewTimer(e.opts.ReadyTimeout)
	defer timeout.Stop()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		probe, cancel := context.WithTimeout(ctx, probeTimeout)
		err := e.client.ready(probe)
		cancel()
		if err == nil {
			e.log.Info("engine is ready", "after", time.Since(begin).Round(time.Millisecond))
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-child.done:
			return fmt.Errorf("%s before it was ready", exitText(child.err))
		case <-timeout.C:
			return fmt.Errorf("not ready after %v: %w", e.opts.ReadyTimeout, err)
		case <-tick.C:
		}
	}
}

// stop ends the child, by force when it takes too long.
func (e *Embedded) stop(child *process, logs *childLog) {
	logs.stopping.Store(true)
	begin := time.Now()
	if child.stop(e.opts.StopTimeout, logs.saved) {
		e.log.Warn("engine did not stop in time and was killed", "after", e.opts.StopTimeout)
		return
	}
	e.log.Debug("engine stopped", "after", time.Since(begin).Round(time.Millisecond))
}

func exitText(err error) string {
	if err == nil {
		return "the process ended with status 0"
	}
	return "the process ended: " + err.Error()
}
