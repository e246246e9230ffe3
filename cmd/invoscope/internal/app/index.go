package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/pebblestore"
	"github.com/invoscope/invoscope/correlate/index/redisstore"
)

func (a *App) openIndex() error {
	c := a.cfg.Index
	o := index.Options{
		Retention:  c.RetentionOf,
		Log:        a.log,
		Registerer: a.registry,
		Now:        a.now,
	}
	var err error
	if c.Redis != "" {
		// How much Redis may take is its own setting.
		o.Store, err = redisstore.Open(context.Background(), redisstore.Options{URL: string(c.Redis), Log: a.log, Registerer: a.registry})
	} else {
		o.MaxBytes = int64(c.MaxBytes)
		o.Store, err = a.openPebble()
	}
	if err != nil {
		return fmt.Errorf("open the invocation index: %w", err)
	}
	a.indexStore = o.Store
	a.index, err = index.New(o)
	return err
}

// openPebble opens the index in the data directory. One that can't be read is put
// aside: it can be rebuilt, and the daemon has more to do.
func (a *App) openPebble() (index.Store, error) {
	dir := filepath.Join(a.cfg.DataDir, "index")
	o := pebblestore.Options{Dir: dir, Log: a.log, Registerer: a.registry}
	store, err := pebblestore.Open(o)
	if err == nil || !errors.Is(err, pebblestore.ErrCorrupt) {
		return store, err
	}
	aside := dir + ".corrupt"
	if err := errors.Join(os.RemoveAll(aside), os.Rename(dir, aside)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	a.log.Error("the invocation index can't be read and is put aside; invoscope index rebuild fills the new one", "err", err, "dir", aside)
	return pebblestore.Open(o)
}

// runIndex maintains the index, and closes it once nothing feeds it any more.
func (a *App) runIndex(ctx context.Context) error {
	return errors.Join(a.index.Run(ctx), a.indexStore.Close())
}

// traceTimeout bounds what stamping a trace onto a log line may cost its sender.
const traceTimeout = 50 * time.Millisecond

// traceOf returns the trace of an invocation for its log lines, or nothing. What
// replicas share is too far away to ask for every line, and a store that doesn't answer
// in time isn't asked for the other invocations of a request either.
func (a *App) traceOf(tenant, invocation string) string {
	id, err := correlate.ParseInvocationID(invocation)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), traceTimeout)
	defer cancel()
	stored := a.cfg.Index.Redis == "" && a.now().UnixNano() >= a.tracesRest.Load()
	trace, known := a.index.Trace(ctx, tenant, id, stored)
	if !known {
		if ctx.Err() != nil {
			a.tracesRest.Store(a.now().Add(learnPause).UnixNano())
		}
		return ""
	}
	return trace.String()
}
