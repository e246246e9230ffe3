package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

const (
	// lockPatience is how long a change waits for another one, which takes milliseconds.
	lockPatience = 10 * time.Second
	lockRetry    = 5 * time.Millisecond
	// lockPause is how long a store leaves the lock alone after a change of its own.
	// Those who wait only look now and then whether it is free, and one that changes
	// much would else take it before they do, each time.
	lockPause = 2 * lockRetry
)

// Store is a data directory's keys, tokens and revocations. It is safe for concurrent
// use, also by several processes.
type Store struct {
	dir string
	now func() time.Time

	mu sync.Mutex
	// records are the token files as they were last read, by name: a directory of
	// 10,000 is read at each change of it.
	records map[string]cachedRecord

	released atomic.Pointer[time.Time] // when it last gave the lock back; nil: never
}

// Open returns the store of a data directory, judging time by now (usually time.Now).
// It reads and makes nothing.
func Open(dataDir string, now func() time.Time) *Store {
	return &Store{dir: dataDir, now: now}
}

// Paths returns the files and directories whose change means that something that is
// kept here has changed. They need not exist.
func (s *Store) Paths() []string {
	return []string{s.signingFile(), s.retiredDir(), s.tokenDir(), s.revocationFile()}
}

func (s *Store) keyDir() string         { return filepath.Join(s.dir, "keys") }
func (s *Store) signingFile() string    { return filepath.Join(s.keyDir(), signingName) }
func (s *Store) retiredDir() string     { return filepath.Join(s.keyDir(), "retired") }
func (s *Store) tokenDir() string       { return filepath.Join(s.dir, "tokens") }
func (s *Store) revocationFile() string { return filepath.Join(s.dir, "revocations.json") }

// locked calls change while nobody else changes anything.
func (s *Store) locked(change func() error) (err error) {
	if err := s.makeDir(s.dir); err != nil {
		return err
	}
	path := filepath.Join(s.dir, "tenancy.lock")
	lock := flock.New(path, flock.SetPermissions(0o600))
	if last := s.released.Load(); last != nil {
		<-time.After(min(lockPause, lockPause-time.Since(*last))) // never longer, whatever the clock does
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	if _, err := lock.TryLockContext(ctx, lockRetry); errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("lock %s: another process has held it for %s", path, lockPatience)
	} else if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	defer func() {
		err = errors.Join(err, lock.Unlock())
		now := time.Now()
		s.released.Store(&now)
	}()
	if err := s.giveAway(path, os.Chown); err != nil {
		return err
	}
	return change()
}

// makeDir makes a directory that only its owner sees.
func (s *Store) makeDir(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	return s.giveAway(path, os.Chown)
}

// write replaces a file: whoever reads it, also after a crash, finds all of the old
// content or all of the new.
func (s *Store) write(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := s.makeDir(dir); err != nil {
		return err
	}
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer f.Cleanup() //nolint:errcheck // nothing is left to clean up once it was replaced
	if _, err := f.Write(content); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := s.giveAway(path, func(_ string, uid, gid int) error { return f.Chown(uid, gid) }); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}

// giveAway makes what root has written the data directory owner's: a daemon that isn't
// root couldn't read it.
func (s *Store) giveAway(path string, chown func(path string, uid, gid int) error) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
		return chown(path, int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// syncDir makes the names in dir survive a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readFile reads a file of at most limit bytes that nobody may write but its owner.
// What it says of the file may be wrong a moment later, but belongs to what was read.
func readFile(path string, limit int64, forbidden fs.FileMode) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return nil, fmt.Errorf("%s can be accessed by other users (mode %#o); run: chmod 600 %s", path, mode, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, nil
}

const (
	// private forbids all access by other users, guarded only that they write.
	private fs.FileMode = 0o077
	guarded fs.FileMode = 0o022
)
