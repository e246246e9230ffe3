package pebblestore

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

// Options says where and how a store is kept.
type Options struct {
	// Dir is made if it isn't there.
	Dir string
	// CacheBytes is how much memory its cache takes; 0 means 32 MiB. Its write
	// buffers take up to 32 MiB more.
	CacheBytes int64
	Log        *slog.Logger // Pebble's own lines are of level debug
	Registerer prometheus.Registerer
}

// The settings are for a daemon beside other things on a small machine. See
// docs/adr/0020-pebble-and-redis.md for what was measured.
const (
	defaultCacheBytes = 32 << 20
	memTableBytes     = 8 << 20
	memTables         = 4 // while flushes lag
	openFiles         = 256
	blockBytes        = 8 << 10
	bloomBitsPerKey   = 10
	maxTableMiB       = 32
)

// Open opens the store in a directory that no other process has open. Damaged files
// are [ErrCorrupt].
func Open(o Options) (*Store, error) { return open(o, vfs.Default, newGuard(o.Log)) }

// open is Open on another file system, with settings changed by tests.
func open(o Options, disk vfs.FS, g *guard, settings ...func(*pebble.Options)) (*Store, error) {
	s := &Store{dir: o.Dir, fs: disk, guard: g, locks: newLocks(), stopping: make(chan struct{})}
	if err := disk.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the index store: %w", err)
	}
	var err error
	if s.metrics, err = newMetrics(o.Registerer, s); err != nil {
		return nil, err
	}
	options := pebbleOptions(o, guardFS{disk, g})
	options.Logger = logger{g}
	options.EventListener = listener(g, s.metrics)
	for _, set := range settings {
		set(options)
	}
	if s.db, err = openPebble(g, o.Dir, options); err != nil {
		s.metrics.unregister()
		return nil, fmt.Errorf("open the index store %s: %w", o.Dir, err)
	}
	return s, nil
}

func pebbleOptions(o Options, disk vfs.FS) *pebble.Options {
	options := &pebble.Options{
		FS:                          disk,
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   cmp.Or(o.CacheBytes, defaultCacheBytes) + memTables*memTableBytes, // which it counts too
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       24,
		MaxOpenFiles:                openFiles,
		MaxManifestFileSize:         4 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	options.Experimental.FileCacheShards = 2
	for i := range options.Levels {
		options.TargetFileSizes[i] = min(int64(2)<<i, maxTableMiB) << 20
		options.Levels[i] = pebble.LevelOptions{
			BlockSize:    blockBytes,
			FilterPolicy: bloom.FilterPolicy(bloomBitsPerKey),
			Compression:  func() *sstable.CompressionProfile { return sstable.BalancedCompression },
		}
	}
	return options
}

// openPebble opens Pebble, whatever it does.
func openPebble(g *guard, dir string, options *pebble.Options) (*pebble.DB, error) {
	type result struct {
		db  *pebble.DB
		err error
	}
	done := make(chan result, 1)
	full := g.fullness()
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				g.log.Debug("pebble panicked", "panic", p, "stack", string(debug.Stack()))
				r.err = fmt.Errorf("%w: %v", ErrCorrupt, p)
			}
			done <- r
		}()
		r.db, r.err = pebble.Open(dir, options)
	}()
	select {
	case r := <-done:
		if isDamage(r.err) {
			r.err = fmt.Errorf("%w: %w", ErrCorrupt, r.err)
		}
		return r.db, r.err
	case <-full:
		g.abandon(ErrFull)
	case <-g.failed:
		g.abandon(nil)
	}
	return nil, g.failure()
}

// isDamage reports whether the files are why Pebble couldn't be opened: the system
// has no other reason. Files of a newer version are like damaged ones.
func isDamage(err error) bool {
	var system syscall.Errno
	switch {
	case err == nil, errors.Is(err, errLocked):
		return false
	case errors.Is(err, fs.ErrNotExist), pebble.IsCorruptionError(err):
		return true
	}
	return !errors.As(err, &system)
}

// Close implements [index.Store]. What was written is synced. A store that failed
// is left as it is, and so is one whose disk is full: they can be opened again, but
// some memory and goroutines are never given back.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.metrics.unregister()
		close(s.stopping)
		full := s.guard.fullness()
		done := make(chan error, 1)
		go func() { done <- s.closePebble() }()
		select {
		case s.closeErr = <-done:
			return
		case <-full:
			s.guard.abandon(ErrFull)
		case <-s.guard.failed:
			s.guard.abandon(nil)
		}
		s.closeErr = fmt.Errorf("close the index store: %w", s.guard.failure())
	})
	return s.closeErr
}

func (s *Store) closePebble() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pebble panicked: %v", p)
			s.guard.fail(err)
		}
	}()
	s.mu.Lock() // waits for the calls that run
	db := s.db
	s.db = nil
	s.mu.Unlock()
	if err := db.Close(); err != nil {
		return fmt.Errorf("close the index store: %w", err)
	}
	return nil
}
