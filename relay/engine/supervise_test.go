package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// eachMechanism runs a test with the system's own way of killing orphans and
// with the guard.
func eachMechanism(t *testing.T, mode string, test func(*testing.T, EmbeddedOptions)) {
	t.Run("default", func(t *testing.T) { test(t, fakeOptions(t, mode)) })
	t.Run("guard", func(t *testing.T) { test(t, guarded(fakeOptions(t, mode))) })
}

func TestRunsAndStops(t *testing.T) {
	eachMechanism(t, "", func(t *testing.T, opts EmbeddedOptions) {
		e := NewLoki(opts)
		if n, _ := e.Incarnation(); n != 0 {
			t.Errorf("incarnation %d before Run", n)
		}
		mustBeUnavailable(t, e)
		stop := runFake(t, e)
		mustBecomeReady(t, e)
		if n, started := e.Incarnation(); n != 1 || started.IsZero() {
			t.Errorf("incarnation %d since %v", n, started)
		}
		if err := e.Push(t.Context(), "acme", []byte("x")); err != nil {
			t.Error(err)
		}
		stop()
		mustBeUnavailable(t, e)
		if n, _ := e.Incarnation(); n != 0 {
			t.Errorf("incarnation %d after the stop", n)
		}
		if !childGone(t, opts.DataDir) {
			t.Error("the child outlived Run")
		}
	})
}

func mustBeUnavailable(t *testing.T, e Engine) {
	t.Helper()
	if err := e.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Ready: got %v, want ErrUnavailable", err)
	}
	var pushErr *PushError
	if err := e.Push(t.Context(), "acme", nil); !errors.As(err, &pushErr) || pushErr.Permanent || !errors.Is(err, ErrUnavailable) {
		t.Errorf("Push: got %v, want a temporary PushError of ErrUnavailable", err)
	}
	body := &closeRecorder{Reader: strings.NewReader("x")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://engine/", body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.RoundTrip(req); !errors.Is(err, ErrUnavailable) {
		t.Errorf("RoundTrip: got %v, want ErrUnavailable", err)
	}
	if !body.closed {
		t.Error("RoundTrip left the body open")
	}
}

type closeRecorder struct {
	io.Reader
	closed bool
}

func (c *closeRecorder) Close() error { c.closed = true; return nil }

func TestRestartsAfterCrash(t *testing.T) {
	eachMechanism(t, "", func(t *testing.T, opts EmbeddedOptions) {
		reg := prometheus.NewPedanticRegistry()
		opts.Registerer = reg
		e := NewLoki(opts)
		stop := runFake(t, e)
		mustBecomeReady(t, e)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://engine/crash", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.RoundTrip(req); !errors.Is(err, ErrUnavailable) {
			t.Errorf("RoundTrip to a dying engine: got %v, want ErrUnavailable", err)
		}
		until(t, "a second incarnation that is ready", func() bool {
			n, _ := e.Incarnation()
			return n == 2 && e.Ready(t.Context()) == nil
		})
		want := `
# HELP invoscope_engine_restarts_total How often an engine had to be started again after it ended unexpectedly.
# TYPE invoscope_engine_restarts_total counter
invoscope_engine_restarts_total{engine="loki"} 1
# HELP invoscope_engine_up Whether an engine that we run is ready (1) or not (0).
# TYPE invoscope_engine_up gauge
invoscope_engine_up{engine="loki"} 1
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		stop()
		if n, err := testutil.GatherAndCount(reg); err != nil || n != 0 {
			t.Errorf("%d metrics after Run: %v", n, err)
		}
	})
}

// The next one gets from the queue what this one acknowledged and didn't write.
func TestEngineThatLosesWhatItAcknowledgedIsKilled(t *testing.T) {
	eachMechanism(t, "", func(t *testing.T, opts EmbeddedOptions) {
		e := NewLoki(opts)
		runFake(t, e)
		mustBecomeReady(t, e)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://engine/diskfull", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := e.RoundTrip(req); err == nil { // or it was killed at once
			resp.Body.Close()
		}
		until(t, "a second incarnation that is ready", func() bool {
			n, _ := e.Incarnation()
			return n == 2 && e.Ready(t.Context()) == nil
		})
	})
}

// recorder collects log records.
type recorder struct {
	mu      sync.Mutex
	records []slog.Record
}

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *recorder) WithGroup(string) slog.Handler            { return r }
func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, record)
	return nil
}

// durations are the values of an attribute in all records so far.
func (r *recorder) durations(key string) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []time.Duration
	for _, record := range r.records {
		record.Attrs(func(a slog.Attr) bool {
			if a.Key == key && a.Value.Kind() == slog.KindDuration {
				found = append(found, a.Value.Duration())
			}
			return true
		})
	}
	return found
}

func TestCrashLoopBacksOff(t *testing.T) {
	opts := fakeOptions(t, "crash")
	rec := &recorder{}
	opts.Log = slog.New(rec)
	e := NewLoki(opts)
	runFake(t, e)
	until(t, "six restarts", func() bool { return len(rec.durations("pause")) >= 6 })
	for i, pause := range rec.durations("pause")[:6] {
		middle := opts.backoff << i
		if pause < middle/2 || pause > middle*3/2 {
			t.Errorf("pause %d is %v, want %v give or take half of it", i, pause, middle)
		}
	}
	err := e.Ready(t.Context())
	for _, want := range []string{"exit status 3", "before it was ready", "fake engine crashed"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Ready doesn't say %q: %v", want, err)
		}
	}
}

func TestNeverReady(t *testing.T) {
	opts := fakeOptions(t, "neverready")
	opts.ReadyTimeout = 50 * time.Millisecond
	e := NewLoki(opts)
	runFake(t, e)
	until(t, "a restart of an engine that doesn't become ready", func() bool {
		n, _ := e.Incarnation()
		return n >= 2
	})
	mustBeUnavailable(t, e)
}

func TestStopWhileStarting(t *testing.T) {
	opts := fakeOptions(t, "neverready")
	e := NewLoki(opts)
	stop := runFake(t, e)
	until(t, "a child", func() bool { n, _ := e.Incarnation(); return n == 1 })
	stop()
	if !childGone(t, opts.DataDir) {
		t.Error("the child outlived Run")
	}
}

func TestKillsWhatDoesNotStop(t *testing.T) {
	for _, mode := range []string{"stubborn", "stubborn,grandchild", "grandchild"} {
		t.Run(strings.ReplaceAll(mode, ",", " "), func(t *testing.T) { // names the data directory
			eachMechanism(t, mode, func(t *testing.T, opts EmbeddedOptions) {
				opts.StopTimeout = 100 * time.Millisecond
				e := NewLoki(opts)
				stop := runFake(t, e)
				mustBecomeReady(t, e)
				stop()
				// A killed process lets go of its files a moment after.
				until(t, "the end of the child and its child", func() bool { return childGone(t, opts.DataDir) })
			})
		})
	}
}

// TestDoesNotWaitAfterSaving: the deadline is far beyond the test's patience.
func TestDoesNotWaitAfterSaving(t *testing.T) {
	opts := fakeOptions(t, "saved")
	opts.StopTimeout = time.Hour
	e := NewLoki(opts)
	e.kind.isSaved = isTempoSaved
	stop := runFake(t, e)
	mustBecomeReady(t, e)
	stop()
	if !childGone(t, opts.DataDir) {
		t.Error("the child outlived Run")
	}
}

func TestRunRefuses(t *testing.T) {
	used := fakeOptions(t, "")
	first := NewLoki(used)
	runFake(t, first)
	mustBecomeReady(t, first)

	missing, short, nowhere := fakeOptions(t, ""), fakeOptions(t, ""), fakeOptions(t, "")
	missing.Binary = "/nonexistent/loki"
	short.Retention = time.Hour
	nowhere.DataDir = ""
	for name, tt := range map[string]struct {
		opts EmbeddedOptions
		want string
	}{
		"missing program":     {missing, "no such file"},
		"used directory":      {used, "locked by another process"},
		"retention":           {short, "less than a day"},
		"no data directory":   {nowhere, "no data directory"},
		"directory of others": {openSockets(t), "open to others"},
	} {
		t.Run(name, func(t *testing.T) {
			err := NewLoki(tt.opts).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	if err := first.Ready(t.Context()); err != nil {
		t.Errorf("the engine that had the directory first: %v", err)
	}
}

// openSockets are options whose directory of sockets is open to everybody.
func openSockets(t *testing.T) EmbeddedOptions {
	t.Helper()
	opts := fakeOptions(t, "")
	l, err := newLayout(opts.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(l.SocketDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(l.SocketDir, 0o777); err != nil {
		t.Fatal(err)
	}
	return opts
}

// startDaemon starts a process that runs an engine on dir, and waits until it
// is ready.
func startDaemon(t *testing.T, dir string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(self)
	daemon.Env = append(append(os.Environ(), fakeDaemonEnv+"="+dir), env...)
	daemon.Stderr = os.Stderr
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the daemon said %q: %v", line, err)
	}
	return daemon
}

func TestNoOrphanWhenTheDaemonIsKilled(t *testing.T) {
	for name, env := range map[string]string{"default": "", "guard": fakeGuardEnv + "=1"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			daemon := startDaemon(t, dir, env)
			if childGone(t, dir) {
				t.Fatal("the running child doesn't hold its lock")
			}
			if err := daemon.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			until(t, "the end of the child", func() bool { return childGone(t, dir) })
		})
	}
}

// TestEndsAStaleChild: whatever a former daemon left is gone before a new child
// starts. The stale one here is a process group of its own that holds the lock,
// as a child is whose daemon and guard were both killed.
func TestEndsAStaleChild(t *testing.T) {
	opts := fakeOptions(t, "")
	l, err := newLayout(opts.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := tryLock(l.ChildLock)
	if err != nil {
		t.Fatal(err)
	}
	stale, err := startProcess(processSpec{
		binary: opts.Binary,
		env:    append(os.Environ(), fakeEngineEnv+"=sleeper"),
		lock:   lock,
		output: func(r io.Reader) { _, _ = io.Copy(io.Discard, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stale.stop(0, nil) })
	if _, err := fmt.Fprint(lock, stale.pid); err != nil {
		t.Fatal(err)
	}
	lock.Close()

	e := NewLoki(opts)
	runFake(t, e)
	mustBecomeReady(t, e)
	select {
	case <-stale.done:
	default:
		until(t, "the end of the stale child", func() bool {
			select {
			case <-stale.done:
				return true
			default:
				return false
			}
		})
	}
}
