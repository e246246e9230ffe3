//go:build integration

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// diskSize is the size of the disk under the queue: room for what the faults of
// the test make wait, and little enough to fill in a moment.
const diskSize = "96m"

// smallDisk is a file system of its own that can be filled.
type smallDisk struct {
	filler string
	full   atomic.Bool
}

// isFull works on a nil disk too.
func (d *smallDisk) isFull() bool { return d != nil && d.full.Load() }

// mountSmallDisk mounts a tmpfs at dir, which takes root and Linux.
func mountSmallDisk(t *testing.T, dir string) (*smallDisk, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("mounting a file system takes root")
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0700,size="+diskSize, "invoscope-faults", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mount a file system: %w: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount %s: %v: %s", dir, err, out)
		}
	})
	return &smallDisk{filler: filepath.Join(dir, "filler")}, nil
}

// fill leaves no room, and takes what becomes free meanwhile, until done is
// closed. Then all of it is given back.
func (d *smallDisk) fill(done <-chan struct{}) error {
	file, err := os.Create(d.filler)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	d.full.Store(true)
	defer d.full.Store(false)
	defer os.Remove(d.filler)
	defer file.Close()
	block := make([]byte, 64<<10)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		// From large to small, to the last page.
		for size := len(block); size >= 512; {
			_, err := file.Write(block[:size])
			switch {
			case errors.Is(err, syscall.ENOSPC):
				size /= 2
			case err != nil:
				return fmt.Errorf("fill the disk: %w", err)
			}
		}
		select {
		case <-done:
			return nil
		case <-ticker.C:
		}
	}
}
