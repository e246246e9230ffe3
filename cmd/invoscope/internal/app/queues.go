package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/queue"
	"github.com/invoscope/invoscope/relay/signal"
)

// QueueDir is where the queue of a signal, logs or traces, is kept in a data
// directory.
func QueueDir(dataDir, signal string) string { return filepath.Join(dataDir, "queue", signal) }

// How long an embedded engine has to be seen running after it acknowledged something.
const (
	// Loki writes to its log before it acknowledges, unless its disk is full: then it
	// says so and acknowledges all the same, and is killed for it.
	lokiSafeBeats = 1
	// Tempo writes spans to its log 1.5 s after they came at the latest
	// (docs/engines.md), and is killed when it can't. The time has to be seen passing:
	// a process that is stopped or starved writes nothing.
	tempoSafeBeats = 5
)

func (a *App) openQueues() error {
	var err error
	if a.logs, err = a.openQueue("logs", queue.Options{Codec: signal.Logs{}, Send: a.learning(readLines, onceReady(a.loki)), Process: processOf(a.loki), SafeBeats: lokiSafeBeats}); err != nil {
		return err
	}
	if a.traces, err = a.openQueue("traces", queue.Options{Codec: signal.Traces{}, Send: a.learning(readSpans, onceReady(a.tempo)), Process: processOf(a.tempo), SafeBeats: tempoSafeBeats}); err != nil {
		return errors.Join(err, a.logs.Close())
	}
	return nil
}

func (a *App) openQueue(name string, o queue.Options) (*queue.Queue, error) {
	c := a.cfg.Queue
	o.Dir = QueueDir(a.cfg.DataDir, name)
	o.Fsync = c.Fsync
	o.MaxBytes = int64(c.MaxBytes)
	o.TenantMaxBytes = int64(c.TenantMaxBytes)
	o.MaxAge = time.Duration(c.MaxAge)
	o.DeadMaxBytes = int64(c.DeadMaxBytes)
	o.Verdict = verdict
	o.Now = a.now
	o.Log = a.log.With("queue", name)
	o.Registerer = prometheus.WrapRegistererWith(prometheus.Labels{"signal": name}, a.registry)
	q, err := queue.Open(o)
	if err != nil {
		return nil, fmt.Errorf("open the queue of %s: %w", name, err)
	}
	return q, nil
}

// onceReady delivers to an engine from when it was ready once. What answers at a
// mistyped URL isn't the engine, and must not get to refuse requests for good.
func onceReady(e engine.Engine) queue.Send {
	var seen atomic.Bool
	return func(ctx context.Context, tenant string, body []byte) error {
		if !seen.Load() {
			if err := e.Ready(ctx); err != nil {
				return err
			}
			seen.Store(true)
		}
		return e.Push(ctx, tenant, body)
	}
}

// verdict reads an engine's answer to a delivery.
func verdict(err error) queue.Verdict {
	var pushErr *engine.PushError
	if errors.As(err, &pushErr) {
		return queue.Verdict{Permanent: pushErr.Permanent, RetryAfter: pushErr.RetryAfter}
	}
	return queue.Verdict{}
}

// child is an engine's process as the queue watches it.
type child struct{ *engine.Embedded }

// Life implements [queue.Process].
func (c child) Life() uint64 {
	generation, _ := c.Incarnation()
	return generation
}

// Running implements [queue.Process].
func (c child) Running(ctx context.Context) error { return c.Ready(ctx) }

// processOf returns the process of an engine that we run. Of one that somebody
// else does nobody tells us when it dies: what it acknowledged counts as safe.
func processOf(e engine.Engine) queue.Process {
	if embedded, ok := e.(*engine.Embedded); ok {
		return child{embedded}
	}
	return nil
}
