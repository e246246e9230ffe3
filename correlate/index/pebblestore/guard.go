package pebblestore

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fullLogInterval is how often a full disk is logged.
const fullLogInterval = time.Minute

// guard keeps the file system's failures from Pebble.
type guard struct {
	log *slog.Logger
	// roomInterval is how often a write that found the disk full is tried again.
	roomInterval time.Duration

	mu      sync.Mutex
	waiting int           // writes that wait for room
	full    chan struct{} // closed while waiting > 0
	logged  time.Time     // when a full disk was
	err     error         // why the store is out of use
	failed  chan struct{} // closed once err is set
	lock    io.Closer     // of the directory
}

func newGuard(log *slog.Logger) *guard {
	return &guard{log: log, roomInterval: 500 * time.Millisecond, full: make(chan struct{}), failed: make(chan struct{})}
}

// fail puts the store out of use.
func (g *guard) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
		close(g.failed)
		g.log.Error("the index store is out of use until it is opened again", "err", err)
	}
}

// abandon leaves Pebble alone, with whatever it holds but the directory's lock. err
// counts if the store hasn't failed before.
func (g *guard) abandon(err error) {
	if err != nil {
		g.fail(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lock != nil {
		g.lock.Close()
		g.lock = nil
	}
}

// failure is why the store is out of use, or nil.
func (g *guard) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// fullness returns a channel that is closed once the disk is full.
func (g *guard) fullness() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.full
}

// waitForRoom waits as long as a write that finds no room should.
func (g *guard) waitForRoom() {
	g.mu.Lock()
	if g.waiting++; g.waiting == 1 {
		close(g.full)
	}
	if now := time.Now(); now.Sub(g.logged) > fullLogInterval {
		g.logged = now
		g.log.Error("the disk of the index store is full")
	}
	g.mu.Unlock()
	timer := time.NewTimer(g.roomInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.failed:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting--; g.waiting == 0 {
		g.full = make(chan struct{})
	}
}

// park keeps a goroutine of Pebble from going on, for ever: what Pebble does after
// a failure, and its deferred functions too, may end the process.
func park() { select {} }

// enter is called before anything is changed on disk: by a store that is out of
// use, nothing is.
func (g *guard) enter() {
	if g.failure() != nil {
		park()
	}
}

// retry does something that changes the disk until there is room for it. It doesn't
// return after another error.
func (g *guard) retry(what string, do func() error) {
	for {
		g.enter()
		err := do()
		switch {
		case err == nil:
			return
		case isFull(err):
			g.waitForRoom()
		default:
			g.fail(fmt.Errorf("%s: %w", what, err))
		}
	}
}

// table does something to a table. Pebble removes a table that it can't write, which
// makes room, and begins again at once; so it is only told so after a while.
func (g *guard) table(what string, do func() error) error {
	g.enter()
	err := do()
	switch {
	case err == nil:
		return nil
	case isFull(err):
		g.waitForRoom()
	default:
		g.fail(fmt.Errorf("%s: %w", what, err))
	}
	g.enter()
	return err
}

// once does something that must not be tried again: after a sync that failed, the
// next would say that all is well.
func (g *guard) once(what string, do func() error) {
	g.enter()
	if err := do(); err != nil {
		g.fail(fmt.Errorf("%s: %w", what, err))
		park()
	}
}

func isFull(err error) bool {
	return vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT)
}
