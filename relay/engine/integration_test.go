//go:build integration

package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/engine/enginetest"
)

// program is the path of a real engine, as the Makefile builds it.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("build the engines first: %v", err)
	}
	return path
}

// logTo shows an engine's warnings in the test's output.
func logTo(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

var makers = map[string]func(engine.EmbeddedOptions) *engine.Embedded{
	"loki":  engine.NewLoki,
	"tempo": engine.NewTempo,
}

// run starts an engine on dir and returns it, ready, with how to stop it.
func run(t *testing.T, name, dir string) (*engine.Embedded, func()) {
	t.Helper()
	e := makers[name](engine.EmbeddedOptions{Binary: program(t, name), DataDir: dir, Log: logTo(t)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	waitReady(t, e)
	return e, stop
}

func waitReady(t *testing.T, e engine.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := engine.WaitReady(ctx, e); err != nil {
		t.Fatal(err)
	}
}

func signal(name string) enginetest.Signal {
	if name == "tempo" {
		return enginetest.Traces
	}
	return enginetest.Logs
}

func TestEmbeddedConforms(t *testing.T) {
	for name := range makers {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, func(t *testing.T) enginetest.Subject {
				e, stop := run(t, name, filepath.Join(t.TempDir(), name))
				return enginetest.Subject{Engine: e, Signal: signal(name), Stop: stop}
			})
		})
	}
}

func TestRemoteConforms(t *testing.T) {
	for name := range makers {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, func(t *testing.T) enginetest.Subject {
				dir := filepath.Join(t.TempDir(), name)
				_, stop := run(t, name, dir)
				remote := dialRemote(t, name, dir)
				return enginetest.Subject{Engine: remote, Signal: signal(name), Stop: stop}
			})
		})
	}
}

// dialRemote makes a remote engine of an embedded one, over TCP.
func dialRemote(t *testing.T, name, dir string) *engine.Remote {
	t.Helper()
	opts := engine.RemoteOptions{URL: "http://" + forward(t, socket(t, dir, "http.sock:80"))}
	dial := engine.NewRemoteLoki
	if name == "tempo" {
		opts.OTLPEndpoint = forward(t, socket(t, dir, "otlp.sock"))
		dial = engine.NewRemoteTempo
	}
	remote, err := dial(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := goRun(func() { _ = remote.Run(ctx) })
	t.Cleanup(func() { cancel(); <-ended })
	return remote
}

// goRun runs f and closes the channel at its end.
func goRun(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	return done
}

// socket finds a socket of the engine in dir: in it, or, when its path is too
// long, where the engine's configuration says.
func socket(t *testing.T, dir, name string) string {
	t.Helper()
	if path := filepath.Join(dir, "run", name); fileExists(path) {
		return path
	}
	config, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	base, _, _ := strings.Cut(name, ":")
	for line := range strings.Lines(string(config)) {
		if _, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && strings.HasSuffix(value, base+`"`) {
			return filepath.Join(filepath.Dir(strings.Trim(value, `"`)), name)
		}
	}
	t.Fatalf("no socket %s", name)
	return ""
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// forward listens on TCP and passes bytes to and from a unix socket. It returns
// its address.
func forward(t *testing.T, socket string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { listener.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { join(conn, socket) })
		}
	})
	return listener.Addr().String()
}

func join(conn net.Conn, socket string) {
	defer conn.Close()
	engine, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer engine.Close()
	go func() {
		_, _ = io.Copy(engine, conn)
		engine.Close()
	}()
	_, _ = io.Copy(conn, engine)
}

// record is a push and how it is found again.
func record(t *testing.T, name, record string) []byte {
	if name == "tempo" {
		return enginetest.TraceRequest(t, time.Now(), record)
	}
	return enginetest.LogRequest(t, time.Now(), record)
}

func find(t *testing.T, e engine.Engine, name, tenant, record string) {
	t.Helper()
	ask := enginetest.FindLog
	if name == "tempo" {
		ask = enginetest.FindTrace
	}
	until(t, func(ctx context.Context) error {
		found, err := ask(ctx, e, tenant, record)
		if err == nil && !found {
			err = errors.New("not found")
		}
		return err
	})
}

// until calls check until it returns nil.
func until(t *testing.T, check func(context.Context) error) {
	t.Helper()
	untilAfter(t, time.Minute, check)
}

// untilAfter is until for what may take long.
func untilAfter(t *testing.T, patience time.Duration, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func TestStopAndStartFindsTheData(t *testing.T) {
	for name := range makers {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			e, stop := run(t, name, dir)
			for i := range 50 {
				if err := e.Push(t.Context(), "acme", record(t, name, fmt.Sprint("record-", i))); err != nil {
					t.Fatal(err)
				}
			}
			stop() // right after the last acknowledgement
			again, _ := run(t, name, dir)
			for i := range 50 {
				find(t, again, name, "acme", fmt.Sprint("record-", i))
			}
		})
	}
}

func TestKilledEngineComesBack(t *testing.T) {
	for name := range makers {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			e, _ := run(t, name, dir)
			if err := e.Push(t.Context(), "acme", record(t, name, "before")); err != nil {
				t.Fatal(err)
			}
			before, _ := e.Incarnation()
			killChild(t, dir)
			until(t, func(ctx context.Context) error {
				if now, _ := e.Incarnation(); now <= before {
					return fmt.Errorf("still incarnation %d", now)
				}
				return e.Ready(ctx)
			})
			if name == "loki" {
				find(t, e, name, "acme", "before")
			}
			if err := e.Push(t.Context(), "acme", record(t, name, "after")); err != nil {
				t.Fatal(err)
			}
			find(t, e, name, "acme", "after")
		})
	}
}

// killChild kills the engine that runs on dir.
func killChild(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Kill(childPID(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func childPID(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "child.lock"))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

// TestRecentTraceMetrics needs the generator's local blocks, of spans of kind
// INTERNAL too.
func TestRecentTraceMetrics(t *testing.T) {
	e, _ := run(t, "tempo", filepath.Join(t.TempDir(), "tempo"))
	if err := e.Push(t.Context(), "acme", record(t, "tempo", "counted")); err != nil {
		t.Fatal(err)
	}
	until(t, func(ctx context.Context) error {
		query := url.Values{
			"q":     {`{ .restate.invocation.id="counted" } | count_over_time()`},
			"start": {fmt.Sprint(time.Now().Add(-10 * time.Minute).Unix())},
			"end":   {fmt.Sprint(time.Now().Add(time.Minute).Unix())},
			"step":  {"60s"},
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/api/metrics/query_range?"+query.Encode(), nil)
		if err != nil {
			return err
		}
		req.Header.Set("X-Scope-OrgID", "acme")
		resp, err := e.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && !bytes.Contains(body, []byte(`"value":1`)) {
			err = fmt.Errorf("%s: %s", resp.Status, body)
		}
		return err
	})
}

// BenchmarkStart measures from Run to ready, of both engines started at once.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		var wg sync.WaitGroup
		begin := time.Now()
		ready := make(chan error, len(makers))
		for name, make := range makers {
			path, err := filepath.Abs(filepath.Join("..", "..", "bin", name))
			if err != nil {
				b.Fatal(err)
			}
			e := make(engine.EmbeddedOptions{Binary: path, DataDir: filepath.Join(b.TempDir(), name)})
			wg.Go(func() { _ = e.Run(ctx) })
			wg.Go(func() { ready <- engine.WaitReady(ctx, e) })
		}
		for range makers {
			if err := <-ready; err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(time.Since(begin).Seconds(), "s-to-ready")
		cancel()
		wg.Wait()
	}
}
