//go:build integration

package redisstore

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// programs are the servers that the suite runs on: Redis always, Valkey where it is
// installed.
func programs(t *testing.T) []string {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server isn't installed")
	}
	found := []string{"redis-server"}
	if _, err := exec.LookPath("valkey-server"); err == nil {
		found = append(found, "valkey-server")
	}
	return found
}

// server is one that a test started.
type server struct {
	address string
	process *exec.Cmd
	exited  chan error
	output  bytes.Buffer
}

// start starts a server on a free port, which another process may take first.
func start(t testing.TB, program string, args ...string) *server {
	t.Helper()
	for range 10 {
		if s := startAt(t, freeAddress(t), program, args...); s != nil {
			return s
		}
	}
	t.Fatalf("%s doesn't start", program)
	return nil
}

// startAt returns nil if the server exits at once.
func startAt(t testing.TB, address, program string, args ...string) *server {
	t.Helper()
	s := &server{address: address, exited: make(chan error, 1)}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	s.process = exec.Command(program, append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", t.TempDir(), "--save", "", "--appendonly", "no",
	}, args...)...)
	s.process.Stdout, s.process.Stderr = &s.output, &s.output
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.exited <- s.process.Wait() }()
	t.Cleanup(s.kill)
	if !s.ready(t) {
		t.Logf("%s exited: %s", program, &s.output)
		return nil
	}
	return s
}

func (s *server) kill() {
	_ = s.process.Process.Kill() // it may have exited
	s.exited <- <-s.exited
}

// ready waits until the server answers, be it that it wants a password. It reports
// false once the server has exited.
func (s *server) ready(t testing.TB) bool {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.address, MaxRetries: -1, Protocol: 2, DisableIdentity: true})
	defer func() { _ = client.Close() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := client.Ping(t.Context()).Err()
		if err == nil || strings.HasPrefix(err.Error(), "NOAUTH") {
			return true
		}
		select {
		case err := <-s.exited:
			s.exited <- err
			return false
		case <-t.Context().Done():
			t.Fatal("the server doesn't answer")
		case <-tick.C:
		}
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func open(ctx context.Context, url string) (*Store, error) {
	return Open(ctx, Options{URL: url, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
}
