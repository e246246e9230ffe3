package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	diskWrites    = 200
	diskWriteSize = 64 << 10
)

// printDisk says how long the disk takes to write and sync, the floor under what
// an acknowledgement takes.
func printDisk(w io.Writer, dir string) error {
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		return fmt.Errorf("measure the disk: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	latencies := make([]time.Duration, 0, diskWrites)
	for range diskWrites {
		start := time.Now()
		if _, err := f.Write(make([]byte, diskWriteSize)); err != nil {
			return fmt.Errorf("measure the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("measure the disk: %w", err)
		}
		latencies = append(latencies, time.Since(start))
	}
	fmt.Fprintf(w, "disk: write %d KiB and sync: p50 %s, p99 %s\n\n", diskWriteSize>>10,
		milliseconds(quantile(latencies, 0.5)), milliseconds(quantile(latencies, 0.99)))
	return nil
}
