//go:build integration

package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// The sizes of the disks: room for what the faults of the test make wait, and for
// what the engines keep of it, and little enough to fill in a moment.
const (
	queueDiskSize = "96m"
	dataDiskSize  = "1g"
)

// dataDiskTime is for how long the engines' data fits on their disk, at some 1.2 MB
// a second. The disk is in memory, so a longer run has none.
const dataDiskTime = 10 * time.Minute

// smallDisk is a file system of its own that can be filled.
type smallDisk struct {
	name   string
	filler string
	full   atomic.Bool
}

// diskIsFull tells whether one of the disks is.
func (s *site) diskIsFull() bool {
	return slices.ContainsFunc(s.disks, func(d *smallDisk) bool { return d.full.Load() })
}

// mountDisks puts a disk under the queue, and one under the engines that the daemon
// runs, so that each may be full alone and both at once.
func (s *site) mountDisks(remote bool, length time.Duration) error {
	queue := filepath.Join(s.options.DataDir, "queue")
	disks := []struct{ name, dir, size string }{{"engines'", s.options.DataDir, dataDiskSize}, {"queue's", queue, queueDiskSize}}
	if remote || length > dataDiskTime {
		disks = disks[1:]
	}
	for _, d := range disks {
		if err := os.MkdirAll(d.dir, 0o700); err != nil {
			return err
		}
		disk, err := mountSmallDisk(s.t, d.dir, d.size)
		if err != nil {
			return err
		}
		disk.name = d.name
		s.disks = append(s.disks, disk)
	}
	return nil
}

// mountSmallDisk mounts a tmpfs at dir, which takes root and Linux.
func mountSmallDisk(t *testing.T, dir, size string) (*smallDisk, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("mounting a file system takes root")
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0700,size="+size, "invoscope-faults", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mount a file system: %w: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount %s: %v: %s", dir, err, out)
		}
	})
	return &smallDisk{filler: filepath.Join(dir, "filler")}, nil
}

// fillDisks fills several until ctx ends.
func fillDisks(ctx context.Context, disks []*smallDisk) error {
	var group errgroup.Group
	for _, d := range disks {
		group.Go(func() error { return d.fill(ctx.Done()) })
	}
	return group.Wait()
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
	block := make([]byte, 1<<20)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		// From large to small, to the last byte.
		for size := len(block); size > 0; {
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
