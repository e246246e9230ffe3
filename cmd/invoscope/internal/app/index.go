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
	"github.com/invoscope/invoscope/relay/ingest"
)

func (a *App) openIndex() error {
	c := a.cfg.Index
	o := index.Options{
		Retention:  c.RetentionOf,
		Log:        a.log,
		Registerer: a.registry,
		Now:        a.now,
	}
	open := a.openRedis // how much Redis may take is its own setting
	if c.Redis == "" {
		open, o.MaxBytes = a.openPebble, int64(c.MaxBytes)
	}
	o.Store = index.NewReopening(context.Background(), open, a.log, time.Now)
	a.indexStore = o.Store
	var err error
	a.index, err = index.New(o)
	return err
}

func (a *App) openRedis(ctx context.Context, _ error) (index.Store, error) {
	store, err := redisstore.Open(ctx, redisstore.Options{URL: string(a.cfg.Index.Redis), Log: a.log, Registerer: a.registry})
	if err != nil {
		return nil, err
	}
	return store, nil
}

// openPebble opens the index in the data directory. One that can't be read, or turned
// out so, is put aside: it can be rebuilt, and the daemon has more to do.
func (a *App) openPebble(_ context.Context, why error) (index.Store, error) {
	dir := filepath.Join(a.cfg.DataDir, "index")
	o := pebblestore.Options{Dir: dir, Log: a.log, Registerer: a.registry}
	if !errors.Is(why, pebblestore.ErrCorrupt) {
		store, err := pebblestore.Open(o)
		if err == nil {
			return store, nil
		}
		if !errors.Is(err, pebblestore.ErrCorrupt) {
			return nil, err
		}
		why = err
	}
	aside := dir + ".corrupt"
	if err := errors.Join(os.RemoveAll(aside), os.Rename(dir, aside)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("put the damaged index aside: %w", err)
	}
	a.log.Error("the invocation index is damaged and put aside; invoscope index rebuild fills the new one", "err", why, "dir", aside)
	store, err := pebblestore.Open(o)
	if err != nil {
		return nil, err
	}
	return store, nil
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
func (a *App) traceOf(tenant, invocation string) ingest.Trace {
	id, err := correlate.ParseInvocationID(invocation)
	if err != nil {
		return ingest.Trace{}
	}
	trace, known := a.index.Trace(context.Background(), tenant, id, false)
	if !known && a.cfg.Index.Redis == "" && a.now().UnixNano() >= a.tracesRest.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), traceTimeout)
		defer cancel()
		if trace, known = a.index.Trace(ctx, tenant, id, true); !known && ctx.Err() != nil {
			a.tracesRest.Store(a.now().Add(learnPause).UnixNano())
		}
	}
	if !known {
		return ingest.Trace{}
	}
	return ingest.Trace{ID: trace.ID.String(), Until: trace.Until}
}
