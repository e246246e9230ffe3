//go:build integration

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/invoscope/invoscope/test/harness"
)

// site is the daemon under test, its engines, and what can be done to them.
type site struct {
	t         *testing.T
	options   harness.Options
	disks     []*smallDisk               // that can be filled
	engines   map[string]*harness.Engine // those that the daemon doesn't run
	proxies   map[string]*proxy          // in front of them
	began     time.Time
	clockFile string

	mu     sync.Mutex
	daemon *harness.Daemon
	counts map[string]int // of faults, by name
	kills  int
}

// newSite prepares a daemon that runs its engines itself, or with remote set one
// that has them behind proxies. Faults will go on for as long as length.
func newSite(t *testing.T, remote bool, length time.Duration) *site {
	dir := t.TempDir()
	s := &site{
		t: t, began: time.Now(), counts: map[string]int{},
		clockFile: filepath.Join(dir, "clock"),
		options: harness.Options{
			DataDir: filepath.Join(dir, "data"),
			Binary:  "invoscope-faults",
		},
	}
	s.options.Env = []string{"INVOSCOPE_FAULTS_CLOCK=" + s.clockFile}
	for _, flag := range []string{"--http", "--otlp-grpc", "--otlp-http", "--admin"} {
		s.options.Flags = append(s.options.Flags, flag, fixedAddress(t))
	}
	s.options.Output = s.openLog()
	if err := s.mountDisks(remote, length); err != nil {
		t.Logf("no disk fills up in this run: %v", err)
	}
	if remote {
		s.startEngines(filepath.Join(dir, "invoscope.yaml"))
	}
	return s
}

// openLog is the file that takes what all the daemons write. FAULTLOG keeps it.
func (s *site) openLog() *os.File {
	dir := os.Getenv("FAULTLOG")
	if dir == "" {
		dir = s.t.TempDir()
	}
	log, err := os.Create(filepath.Join(dir, filepath.Base(s.t.Name())+".log"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { log.Close() })
	return log
}

// logf notes in the daemons' log what is done to them.
func (s *site) logf(format string, args ...any) {
	fmt.Fprintf(s.options.Output, "%8.3fs FAULT %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// startEngines runs a Loki and a Tempo behind proxies and points the daemon there.
func (s *site) startEngines(config string) {
	loki, tempo := harness.StartEngine(s.t, "loki"), harness.StartEngine(s.t, "tempo")
	s.engines = map[string]*harness.Engine{"loki": loki, "tempo": tempo}
	s.proxies = map[string]*proxy{
		"loki":  startProxy(s.t, loki.HTTPSocket, false),
		"tempo": startProxy(s.t, tempo.OTLPSocket, true),
	}
	queries := startProxy(s.t, tempo.HTTPSocket, false)
	text := fmt.Sprintf("engines:\n  loki: {url: http://%s}\n  tempo: {url: http://%s, otlp: http://%s}\n",
		s.proxies["loki"].addr, queries.addr, s.proxies["tempo"].addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.options.Flags = append(s.options.Flags, "--config", config)
}

// fixedAddress is one that a daemon can come back to: below the ports that the
// system gives to outgoing connections, so that none takes it meanwhile.
func fixedAddress(t *testing.T) string {
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port between 20000 and 32000")
	return ""
}

// startAttempts is how often in a row a daemon may fail to start, as it may while
// its disk is full.
const startAttempts = 20

// start starts the daemon, again and again as a service manager does.
func (s *site) start() error {
	for attempt := 1; ; attempt++ {
		d := harness.Launch(s.t, s.options)
		err := d.AwaitReady()
		if err == nil {
			s.mu.Lock()
			s.daemon = d
			s.mu.Unlock()
			s.logf("daemon is ready")
			return nil
		}
		s.logf("daemon did not start: %v", err)
		s.count("start failed")
		d.Kill()
		if attempt == startAttempts {
			return fmt.Errorf("the daemon doesn't start: %w", err)
		}
		<-time.After(time.Second)
	}
}

func (s *site) current() *harness.Daemon {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.daemon
}

func (s *site) count(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[name]++
}

// process finds the process called daemon, loki or tempo.
func (s *site) process(name string) (pid int, err error) {
	if name == "daemon" {
		return s.current().PID(), nil
	}
	if e := s.engines[name]; e != nil {
		return e.Process().PID(), nil
	}
	return s.current().EnginePID(name)
}

// endLimit is how long an engine may outlive its daemon.
const endLimit = 10 * time.Second

// awaitEnd waits for the end of an engine whose daemon was killed.
func (s *site) awaitEnd(engine string) error {
	deadline := time.Now().Add(endLimit)
	for {
		pid, err := s.process(engine)
		if err != nil {
			return nil // it isn't there
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s, process %d, outlives its daemon", engine, pid)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// stepClock moves the daemon's clock away from the real time by offset.
func (s *site) stepClock(offset time.Duration) error {
	next := s.clockFile + ".new"
	if err := os.WriteFile(next, []byte(offset.String()), 0o600); err != nil {
		return fmt.Errorf("step the clock: %w", err)
	}
	return os.Rename(next, s.clockFile)
}

// hold waits for d, or until ctx ends.
func hold(ctx context.Context, d time.Duration) { pause(ctx, d) }

// stall stops a process for a while.
func (s *site) stall(ctx context.Context, name string, d time.Duration) bool {
	pid, err := s.process(name)
	if err != nil || syscall.Kill(pid, syscall.SIGSTOP) != nil {
		return false
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }() // it may have been killed
	hold(ctx, d)
	return true
}
