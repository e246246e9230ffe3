//go:build integration

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/queue"
)

// awaitNext waits until the engine is ready again after a life has ended.
func awaitNext(t *testing.T, e *engine.Embedded, former uint64) {
	t.Helper()
	until(t, func(ctx context.Context) error {
		if now, _ := e.Incarnation(); now <= former {
			return fmt.Errorf("still incarnation %d", now)
		}
		return e.Ready(ctx)
	})
}

// Loki's second life begins with what its first one was writing when it was
// killed, and its third one has to find what the second one took.
func TestLokiKilledTwiceHasEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "loki")
	e, _ := run(t, "loki", dir)
	push := func(name string) {
		t.Helper()
		if err := e.Push(t.Context(), "acme", record(t, "loki", name)); err != nil {
			t.Fatal(err)
		}
	}
	push("first")
	push("torn " + strings.Repeat("x", 100_000)) // several pages of Loki's log
	before, _ := e.Incarnation()
	segment := newestSegment(t, dir)
	killChild(t, dir)
	cut(t, segment, 50_000) // before Loki is started again
	awaitNext(t, e, before)
	for i := range 5 {
		push(fmt.Sprint("second-", i))
	}
	before, _ = e.Incarnation()
	killChild(t, dir)
	awaitNext(t, e, before)
	find(t, e, "loki", "acme", "first")
	for i := range 5 {
		find(t, e, "loki", "acme", fmt.Sprint("second-", i))
	}
}

// newestSegment is the path of the segment that Loki writes to.
func newestSegment(t *testing.T, dir string) string {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments %q: %v", segments, err)
	}
	return segments[len(segments)-1]
}

// cut takes the last n bytes of a file.
func cut(t *testing.T, path string, n int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-n)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// While its disk is full an engine acknowledges what it then has not. The queue
// before it has to send that again.
func TestFullDiskLosesNothing(t *testing.T) {
	for name, safeBeats := range map[string]uint64{"loki": 1, "tempo": 5} { // as the daemon has it
		t.Run(name, func(t *testing.T) {
			disk := smallDisk(t)
			dir := filepath.Join(disk, name)
			e, _ := run(t, name, dir)
			q := runQueue(t, e, safeBeats)
			var records []string
			appendAll := func(when string) {
				for i := range 40 {
					records = append(records, fmt.Sprint(when, "-", i))
					body := record(t, name, records[len(records)-1]+" "+strings.Repeat("x", 2000))
					if err := q.Append(t.Context(), "acme", queue.Request{Body: body, Items: 1}); err != nil {
						t.Fatal(err)
					}
				}
			}
			appendAll("before")
			until(t, q.allSafe)

			before, _ := e.Incarnation()
			filler := filepath.Join(disk, "filler")
			fill(t, filler)
			appendAll("full")
			until(t, func(ctx context.Context) error {
				fill(t, filler) // what became free
				if now, _ := e.Incarnation(); now != before {
					return nil // it was killed for it
				}
				return q.allSafe(ctx)
			})
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			appendAll("after")
			until(t, q.allSafe)

			before, _ = e.Incarnation()
			killChild(t, dir)
			awaitNext(t, e, before)
			for _, r := range records {
				find(t, e, name, "acme", r+" "+strings.Repeat("x", 2000))
			}
		})
	}
}

// smallDisk is a directory with a file system of its own.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system takes root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64m", "invoscope-test", dir).CombinedOutput(); err != nil {
		t.Skipf("no file system can be mounted: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount %s: %v: %s", dir, err, out)
		}
	})
	return dir
}

// fill appends to a file until its disk has no room, to the last byte.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := make([]byte, 1<<20)
	for size := len(block); size > 0; {
		if _, err := file.Write(block[:size]); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// watchedQueue is a queue of which can be told what is in it.
type watchedQueue struct {
	*queue.Queue
	registry *prometheus.Registry
}

// runQueue runs a queue before the engine, as the daemon does, on another disk.
func runQueue(t *testing.T, e *engine.Embedded, safeBeats uint64) watchedQueue {
	t.Helper()
	registry := prometheus.NewRegistry()
	q, err := queue.Open(queue.Options{
		Dir: t.TempDir(), MaxBytes: 1 << 28, DeadMaxBytes: 1 << 20, Send: e.Push, Process: child{e}, SafeBeats: safeBeats,
		Verdict: func(err error) queue.Verdict {
			var pushErr *engine.PushError
			return queue.Verdict{Permanent: errors.As(err, &pushErr) && pushErr.Permanent}
		},
		Log: logTo(t), Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := goRun(func() {
		if err := q.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); <-ended })
	return watchedQueue{q, registry}
}

// allSafe is an error for as long as a request waits or could still be forgotten.
func (q watchedQueue) allSafe(context.Context) error {
	families, err := q.registry.Gather()
	if err != nil {
		return err
	}
	found := 0
	for _, f := range families {
		switch f.GetName() {
		case "invoscope_queue_pending_requests", "invoscope_queue_kept_requests":
			found++
			if n := f.GetMetric()[0].GetGauge().GetValue(); n != 0 {
				return fmt.Errorf("%s is %v", f.GetName(), n)
			}
		}
	}
	if found != 2 {
		return fmt.Errorf("%d of the queue's two metrics", found)
	}
	return nil
}

// child is an engine's process as the queue watches it.
type child struct{ *engine.Embedded }

func (c child) Life() uint64 {
	generation, _ := c.Incarnation()
	return generation
}

func (c child) Running(ctx context.Context) error { return c.Ready(ctx) }
