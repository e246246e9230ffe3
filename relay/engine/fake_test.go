package engine

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	// fakeEngineEnv makes the test binary an engine. Its value is a comma-separated
	// list of what is special about it.
	fakeEngineEnv = "FAKE_ENGINE"
	// fakeDaemonEnv makes it a daemon that runs a fake engine on that directory.
	fakeDaemonEnv = "FAKE_DAEMON"
	// fakeGuardEnv has that daemon use a guard.
	fakeGuardEnv = "FAKE_DAEMON_GUARD"
)

// fakeEngine serves Loki's readiness and push on the socket that its
// configuration names, until SIGTERM. Special are: crash (end at once),
// neverready, stubborn (SIGTERM does nothing), saved (stubborn, but tells that
// all is on disk), grandchild (start another process and have it hold the lock).
func fakeEngine(mode string) int {
	special := func(name string) bool { return strings.Contains(","+mode+",", ","+name+",") }
	if special("sleeper") {
		signal.Ignore(syscall.SIGTERM)
		select {}
	}
	fmt.Fprintln(os.Stderr, `level=info msg="fake engine begins"`)
	if special("crash") {
		fmt.Fprintln(os.Stderr, `level=error msg="fake engine crashed" err="as told"`)
		return 3
	}
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	if special("grandchild") {
		if err := startGrandchild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 4
		}
	}
	server, err := serveFake(special("neverready"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	<-terminate
	if special("saved") {
		fmt.Fprintln(os.Stderr, `level=info msg="module stopped" module=ingester`)
	}
	if special("saved") || special("stubborn") {
		select {}
	}
	server.Close()
	return 0
}

func startGrandchild() error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fakeEngineEnv+"=sleeper")
	cmd.ExtraFiles = []*os.File{os.NewFile(lockFD, "lock")}
	return cmd.Start()
}

func serveFake(neverReady bool) (*http.Server, error) {
	data, err := os.ReadFile(strings.TrimPrefix(os.Args[1], "-config.file="))
	if err != nil {
		return nil, err
	}
	var config struct {
		Server struct {
			Address string `yaml:"http_listen_address"`
			Port    string `yaml:"http_listen_port"`
		}
	}
	if err := yaml.Unmarshal(data, &config); err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", net.JoinHostPort(config.Server.Address, config.Server.Port))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if neverReady {
			http.Error(w, "still replaying", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /crash", func(http.ResponseWriter, *http.Request) { os.Exit(6) })
	mux.HandleFunc("GET /diskfull", func(http.ResponseWriter, *http.Request) { fmt.Fprintln(os.Stderr, lokiDiskFull) })
	mux.HandleFunc("POST /loki/api/v1/push", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	return server, nil
}

// fakeDaemon runs a fake engine, tells when it is ready, and goes on.
func fakeDaemon(dir string) int {
	opts := EmbeddedOptions{Binary: os.Args[0], DataDir: dir, env: []string{fakeEngineEnv + "="}}
	if os.Getenv(fakeGuardEnv) != "" {
		opts.guard = []string{os.Args[0], GuardArg}
	}
	e := NewLoki(opts)
	go func() {
		if err := WaitReady(context.Background(), e); err == nil {
			fmt.Fprintln(os.Stdout, "ready")
		}
	}()
	fmt.Fprintln(os.Stderr, e.Run(context.Background()))
	return 1
}

// fakeOptions are those of an embedded engine that is the test binary.
func fakeOptions(t *testing.T, mode string) EmbeddedOptions {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return EmbeddedOptions{
		Binary:  self,
		DataDir: t.TempDir(),
		backoff: time.Millisecond,
		env:     []string{fakeEngineEnv + "=" + mode},
	}
}

// guarded are the same options with a guard, which on some systems is the default.
func guarded(opts EmbeddedOptions) EmbeddedOptions {
	opts.guard = []string{opts.Binary, GuardArg}
	return opts
}

// runFake runs the engine until the returned function is called, which waits
// for the end of Run, or until the end of the test.
func runFake(t *testing.T, e *Embedded) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := e.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

// patience bounds every wait for another process.
const patience = 30 * time.Second

func mustBecomeReady(t *testing.T, e Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := WaitReady(ctx, e); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

// childGone reports whether no process holds the lock of the child on dir.
func childGone(t *testing.T, dir string) bool {
	t.Helper()
	l, err := newLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := tryLock(l.ChildLock)
	if lock != nil {
		lock.Close()
	}
	return err == nil
}
