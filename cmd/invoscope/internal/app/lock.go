package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// lockPatience is how long the directory's lock is waited for: a daemon that was
	// killed while it started an engine leaves a process that has it for a moment.
	lockPatience = time.Second
	lockRetry    = 20 * time.Millisecond
)

// lockDir makes sure that no other daemon uses the directory. The lock goes with
// the file that it returns, so at the latest with the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	tick := time.NewTicker(lockRetry)
	defer tick.Stop()
	for begin := time.Now(); ; <-tick.C {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		held := errors.Is(err, syscall.EWOULDBLOCK)
		if held && time.Since(begin) < lockPatience {
			continue
		}
		_ = f.Close() // nothing was written to it
		if held {
			return nil, fmt.Errorf("another invoscope is running on %s", dir)
		}
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
}
