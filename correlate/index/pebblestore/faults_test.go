package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/invoscope/invoscope/correlate/index"
)

// faults fails what is done to a file system: the operation with number at, or,
// if after is set, all from it on.
type faults struct {
	vfs.FS
	seen  atomic.Int64
	at    atomic.Int64 // 0 is never
	after bool
	err   error
	match func(op errorfs.Op) bool
}

func injectFaults(fs vfs.FS, err error, match func(op errorfs.Op) bool) *faults {
	f := &faults{err: err, match: match}
	f.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(f.maybe))
	return f
}

func (f *faults) maybe(op errorfs.Op) error {
	if !f.match(op) {
		return nil
	}
	n, at := f.seen.Add(1), f.at.Load()
	if n == at || f.after && at != 0 && n > at {
		return f.err
	}
	return nil
}

// begin fails all operations from now on.
func (f *faults) begin() { f.after = true; f.at.Store(f.seen.Load() + 1) }

func (f *faults) end() { f.at.Store(0) }

func writes(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite }

func openOn(t *testing.T, fs vfs.FS) (*Store, error) {
	g := newGuard(testOptions("").Log)
	g.roomInterval = time.Millisecond
	s, err := open(testOptions("index"), fs, g)
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func mustOpen(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := openOn(t, fs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put writes what check looks for: two keys with the same value.
func put(t *testing.T, s *Store, n int, value string) error {
	return s.Update(t.Context(), "a", nil, func(_ [][]byte, w *index.Writes) error {
		w.Set = []index.KeyValue{
			{Key: fmt.Appendf(nil, "r%d", n), Value: []byte(value)},
			{Key: fmt.Appendf(nil, "s%d", n), Value: []byte(value)},
		}
		return nil
	})
}

// check returns what put wrote last, and fails if only a part is there.
func check(t *testing.T, s *Store, n int) string {
	t.Helper()
	one, err := s.Get(t.Context(), "a", fmt.Appendf(nil, "r%d", n))
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Get(t.Context(), "a", fmt.Appendf(nil, "s%d", n))
	if err != nil {
		t.Fatal(err)
	}
	if string(one) != string(other) {
		t.Errorf("update %d is there by half: %.20q and %.20q", n, one, other)
	}
	return string(one)
}

func TestFullDisk(t *testing.T) {
	disk := injectFaults(vfs.NewMem(), syscall.ENOSPC, writes)
	s := mustOpen(t, disk)
	if err := errors.Join(put(t, s, 1, "before"), s.Sync(t.Context())); err != nil {
		t.Fatal(err)
	}
	disk.begin()
	put(t, s, 2, "meanwhile") //nolint:errcheck // it may get as far as memory
	if err := s.Sync(t.Context()); !errors.Is(err, ErrFull) {
		t.Errorf("sync on a full disk: got %v", err)
	}
	if err := put(t, s, 3, "meanwhile"); !errors.Is(err, ErrFull) {
		t.Errorf("update on a full disk: got %v", err)
	}
	if got := check(t, s, 1); got != "before" {
		t.Errorf("read on a full disk: got %q", got)
	}
	disk.end()
	for { // until the write that waits is tried again
		if err := put(t, s, 4, "after"); err == nil {
			break
		} else if !errors.Is(err, ErrFull) {
			t.Fatalf("update once there is room: %v", err)
		}
	}
	if err := errors.Join(s.Sync(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, disk)
	if got := check(t, s, 1) + " " + check(t, s, 4); got != "before after" {
		t.Errorf("after a full disk: got %q", got)
	}
}

// TestFullDiskStalls fills memory while the disk is full: updates return errors
// rather than wait.
func TestFullDiskStalls(t *testing.T) {
	disk := injectFaults(vfs.NewMem(), syscall.ENOSPC, func(op errorfs.Op) bool { return writes(op) && isTable(op.Path) })
	s := mustOpen(t, disk)
	disk.begin()
	value := string(make([]byte, 1<<20))
	for n := 0; ; n++ {
		if err := put(t, s, n, value); errors.Is(err, ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	disk.end()
	for put(t, s, 0, "after") != nil {
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestFailingDisk fails each of the writes of a store in turn. The store answers
// with an error or goes on, and when it is opened again all is there that was synced.
func TestFailingDisk(t *testing.T) {
	if !inChild(t) {
		return
	}
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for at := int64(1); ; at++ {
			disk := injectFaults(vfs.NewMem(), cause, writes)
			disk.at.Store(at)
			synced := useUntilError(t, disk)
			disk.end()
			if disk.seen.Load() < at {
				t.Logf("%v: %d writes", cause, at-1)
				break
			}
			s, err := openOn(t, disk.FS)
			if err != nil {
				t.Fatalf("open after %v in write %d: %v", cause, at, err)
			}
			for n, value := range synced {
				if got := check(t, s, n); got < value {
					t.Errorf("after %v in write %d: update %d is %.20q, want %.20q or later", cause, at, n, got, value)
				}
			}
			_ = s.Close()
		}
	}
}

// useUntilError writes, syncs and compacts, and returns what was synced.
func useUntilError(t *testing.T, disk vfs.FS) map[int]string {
	synced := map[int]string{}
	s, err := openOn(t, disk)
	if err != nil {
		return synced
	}
	defer func() { _ = s.Close() }()
	pad := string(make([]byte, 8<<10))
	for round := range 3 {
		written := map[int]string{}
		for n := range 4 {
			value := fmt.Sprintf("%06d%s", round, pad)
			if put(t, s, n, value) == nil {
				written[n] = value
			}
		}
		if s.Sync(t.Context()) == nil {
			for n, value := range written {
				synced[n] = value
			}
		}
		s.Compact(t.Context()) //nolint:errcheck // whether it succeeds or not
	}
	return synced
}

// TestPowerLoss loses what was not synced, in part.
func TestPowerLoss(t *testing.T) {
	const updates = 200
	for seed := range int64(8) {
		random := rand.New(rand.NewPCG(uint64(seed), 0))
		disk := vfs.NewCrashableMem()
		s := mustOpen(t, disk)
		synced := 0
		for n := range updates {
			if err := put(t, s, n, fmt.Sprint(n, string(make([]byte, random.IntN(4<<10))))); err != nil {
				t.Fatal(err)
			}
			if random.IntN(20) == 0 {
				if err := s.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				synced = n + 1
			}
		}
		after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(100), RNG: random})
		s = mustOpen(t, after)
		for n := range updates {
			if got := check(t, s, n); got == "" && n < synced {
				t.Errorf("seed %d: update %d of %d synced ones is lost", seed, n, synced)
			}
		}
	}
}

// TestHangingDisk has a disk that doesn't answer: calls end with their context.
func TestHangingDisk(t *testing.T) {
	var hangs atomic.Bool
	release := make(chan struct{})
	disk := injectFaults(vfs.NewMem(), nil, func(op errorfs.Op) bool {
		if writes(op) && hangs.Load() {
			<-release
		}
		return false
	})
	s := mustOpen(t, disk)
	if err := errors.Join(put(t, s, 1, "before"), s.Sync(t.Context())); err != nil {
		t.Fatal(err)
	}
	hangs.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sync on a disk that hangs: got %v", err)
	}
	if got := check(t, s, 1); got != "before" {
		t.Errorf("read on a disk that hangs: got %q", got)
	}
	hangs.Store(false)
	close(release)
	if err := errors.Join(put(t, s, 2, "after"), s.Sync(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}
