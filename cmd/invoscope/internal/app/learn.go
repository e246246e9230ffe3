package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/queue"
)

// Delivery never waits long for the index: what takes longer than learnTimeout, for each
// learnRecords, is given up, and after a failure the index is left alone for learnPause.
// A healthy store writes several times as many, so that a request that names very many
// invocations isn't taken for a failure, for which all tenants would pay.
const (
	learnTimeout = 2 * time.Second
	learnRecords = 10000
	learnPause   = 5 * time.Second
)

// learner feeds the invocation index with what is delivered to an engine, before
// the engine has it: the index then knows at least what the engine knows. What it
// fails to learn is delivered all the same.
type learner struct {
	index *index.Index
	read  func(*index.Batch, []byte) error // a request into a batch
	log   *slog.Logger
	now   func() time.Time

	batches sync.Pool
	resting atomic.Int64 // until when the index is left alone, in ns since 1970
}

// learning returns a Send that feeds the index with what it delivers.
func (a *App) learning(read func(*index.Batch, []byte) error, deliver queue.Send) queue.Send {
	l := &learner{index: a.index, read: read, log: a.log, now: a.now}
	return l.before(deliver)
}

// before returns a Send that learns and then delivers.
func (l *learner) before(deliver queue.Send) queue.Send {
	return func(ctx context.Context, tenant string, body []byte) error {
		if !l.learn(ctx, tenant, body) {
			return deliver(ctx, tenant, body)
		}
		// What was learnt is made durable while the engine works, and before the
		// queue hears that the request is done with.
		synced := make(chan struct{})
		go func() {
			defer close(synced)
			soon, cancel := context.WithTimeout(ctx, learnTimeout)
			defer cancel()
			if err := l.index.Sync(soon); err != nil && ctx.Err() == nil {
				l.fail(fmt.Errorf("sync the invocation index: %w", err))
			}
		}()
		defer func() { <-synced }()
		return deliver(ctx, tenant, body)
	}
}

// learn reports whether there was something to learn.
func (l *learner) learn(ctx context.Context, tenant string, body []byte) bool {
	if l.now().UnixNano() < l.resting.Load() {
		l.index.Missed()
		return false
	}
	batch, ok := l.batches.Get().(*index.Batch)
	if !ok {
		batch = &index.Batch{}
	}
	defer func() {
		batch.Reset()
		l.batches.Put(batch)
	}()
	batch.Latest = l.now().Add(engine.MaxLead).UnixNano()
	if err := l.read(batch, body); err != nil {
		l.index.Missed()
		l.log.Warn("the invocation index can't read what is delivered", "tenant", tenant, "err", err)
	}
	if batch.Len() == 0 {
		return false
	}
	soon, cancel := context.WithTimeout(ctx, learnTimeout*time.Duration(1+batch.Len()/learnRecords))
	defer cancel()
	if err := l.index.Apply(soon, tenant, batch); err != nil && ctx.Err() == nil {
		l.fail(err)
	}
	return true
}

// fail says that the index misses something, and leaves it alone for a while.
func (l *learner) fail(err error) {
	l.index.Missed()
	now := l.now()
	if until := l.resting.Load(); now.UnixNano() >= until && l.resting.CompareAndSwap(until, now.Add(learnPause).UnixNano()) {
		l.log.Error("the invocation index misses what is delivered now; invoscope index rebuild makes up for it", "err", err)
	}
}

// readSpans and readLines read what the queues deliver.
func readSpans(b *index.Batch, body []byte) error { return b.Spans(body) }

var decompressed sync.Pool // of *[]byte

func readLines(b *index.Batch, body []byte) error {
	buf, ok := decompressed.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	defer decompressed.Put(buf)
	var err error
	if *buf, err = s2.Decode((*buf)[:cap(*buf)], body); err != nil {
		return err
	}
	return b.Lines(*buf)
}
