package ship

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// maxShared is how many processes may share a default state directory.
const maxShared = 16

// errInUse is what openState returns when another process has the directory.
var errInUse = errors.New("another invoscope ship uses it; give each its own --state-dir")

// openState makes dir if needed and locks it. The lock ends with the process, or
// when it is closed.
func openState(dir string) (lock *os.File, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock state directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errInUse
		}
		return nil, fmt.Errorf("lock state directory %s: %w", dir, err)
	}
	return lock, nil
}

// openSharedState opens dir, or the first of dir-2, dir-3, … that nobody uses:
// several pipes may end in one ship each, and none of them has a name. What one
// left behind is delivered by the next that opens its directory.
func openSharedState(dir string) (used string, lock *os.File, err error) {
	used = dir
	for n := 2; ; n++ {
		lock, err = openState(used)
		if !errors.Is(err, errInUse) || n > maxShared {
			return used, lock, err
		}
		used = fmt.Sprintf("%s-%d", dir, n)
	}
}
