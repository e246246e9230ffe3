package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// remote is a Loki and a Tempo in one: enough to be ready and to be asked.
func remote(t testing.TB) (url string, up *atomic.Bool) {
	t.Helper()
	up = new(atomic.Bool)
	up.Store(true)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !up.Load():
			http.Error(w, "starting", http.StatusServiceUnavailable)
		case strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"): // an export: an empty message and status OK
			w.Header().Set("Content-Type", "application/grpc")
			_, _ = w.Write(make([]byte, 5))
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusNoContent)
		default:
			_, _ = io.WriteString(w, "tenant "+r.Header.Get("X-Scope-OrgID"))
		}
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, up
}

func testConfig(t *testing.T, dir, engines string) config.Config {
	t.Helper()
	c := config.Default()
	c.DataDir = dir
	c.Listen = config.Listen{HTTP: "127.0.0.1:0", OTLPGRPC: "127.0.0.1:0", OTLPHTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", MaxConnections: c.Listen.MaxConnections}
	c.Engines.Loki.URL, c.Engines.Tempo.URL, c.Engines.Tempo.OTLP = engines, engines, engines
	return c
}

// startDaemon runs a daemon and waits until it is ready.
func startDaemon(t *testing.T, c config.Config) (info runinfo.Info, stop func() error) {
	t.Helper()
	a, err := New(c, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan runinfo.Info, 1), make(chan error, 1)
	go func() { ended <- a.Run(ctx, func(i runinfo.Info) { ready <- i }) }()
	select {
	case info = <-ready:
	case err := <-ended:
		t.Fatalf("ended before it was ready: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("not ready in time: ", a.loki.Ready(ctx), a.tempo.Ready(ctx))
	}
	return info, func() error { cancel(); return <-ended }
}

// testRoots are whom get believes; nil: the system's.
var testRoots *x509.CertPool

func get(t testing.TB, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: testRoots}}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestTwoDaemonsInOneProcess(t *testing.T) {
	engines, _ := remote(t)
	for _, dir := range []string{t.TempDir(), t.TempDir()} {
		info, stop := startDaemon(t, testConfig(t, dir, engines))
		defer func() {
			if err := stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
		}()
		onDisk, err := runinfo.Read(dir)
		if err != nil || onDisk != info {
			t.Errorf("run.json says %+v, %v", onDisk, err)
		}
		token, err := os.ReadFile(info.TokenFile)
		if err != nil {
			t.Fatal(err)
		}
		if code, body := get(t, info.HTTP+"/loki/api/v1/labels", strings.TrimSpace(string(token))); code != http.StatusOK || body != "tenant default" {
			t.Errorf("%d %q", code, body)
		}
		if code, _ := get(t, info.HTTP+"/loki/api/v1/labels", ""); code != http.StatusUnauthorized {
			t.Errorf("without a token: %d", code)
		}
		for path, want := range map[string]string{"/livez": "alive", "/readyz": "ready", "/metrics": "invoscope_queue_pending_requests"} {
			if code, body := get(t, info.Admin+path, ""); code != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s: %d %.200s", path, code, body)
			}
		}
	}
}

func TestTokenStaysAcrossRestarts(t *testing.T) {
	engines, _ := remote(t)
	dir := t.TempDir()
	var tokens []string
	for range 2 {
		info, stop := startDaemon(t, testConfig(t, dir, engines))
		token, err := os.ReadFile(info.TokenFile)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := os.Stat(info.TokenFile); err != nil || s.Mode().Perm() != 0o600 {
			t.Errorf("the token file's mode: %v %v", s.Mode(), err)
		}
		tokens = append(tokens, string(token))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := runinfo.Read(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("run.json after the stop: %v", err)
		}
	}
	if tokens[0] != tokens[1] {
		t.Error("the token changed")
	}
}

// Ingest works before the engines do; only readiness waits for them.
func TestServesWhileEnginesStart(t *testing.T) {
	engines, up := remote(t)
	up.Store(false)
	a, err := New(testConfig(t, t.TempDir(), engines), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.Run(ctx, func(runinfo.Info) { close(ready) }) }()
	base := "http://" + a.sockets.http.Addr().String()
	if code, _ := get(t, base+"/ready", ""); code != http.StatusServiceUnavailable {
		t.Errorf("/ready while the engines start: %d", code)
	}
	if code, _ := get(t, "http://"+a.sockets.admin.Addr().String()+"/livez", ""); code != http.StatusOK {
		t.Errorf("/livez while the engines start: %d", code)
	}
	up.Store(true)
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("ended before it was ready: %v", err)
	}
	// The answer from before may be remembered for a moment.
	eventually(t, func() string {
		if code, body := get(t, base+"/ready", ""); code != http.StatusOK {
			return fmt.Sprintf("/ready: %d %s", code, body)
		}
		return ""
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	engines, _ := remote(t)
	log := slog.New(slog.DiscardHandler)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		change func(*config.Config)
		says   string
	}{
		"a port that is taken":  {func(c *config.Config) { c.Listen.Admin = taken.Addr().String() }, "listen.admin: "},
		"no engine binary":      {func(c *config.Config) { c.Engines.Loki = config.Loki{} }, "engines.loki.binary"},
		"a file for a data dir": {func(c *config.Config) { c.DataDir = filepath.Join(os.Args[0], "x") }, "data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", t.TempDir())
			cfg := testConfig(t, t.TempDir(), engines)
			c.change(&cfg)
			if _, err := New(cfg, log, time.Now); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestOneDaemonPerDataDirectory(t *testing.T) {
	engines, _ := remote(t)
	cfg := testConfig(t, t.TempDir(), engines)
	_, stop := startDaemon(t, cfg)
	if _, err := New(cfg, slog.New(slog.DiscardHandler), time.Now); err == nil || !strings.Contains(err.Error(), "another invoscope") {
		t.Errorf("a second daemon: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// What a killed daemon leaves may have the lock for a moment.
func TestLockThatIsGivenUpSoonIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	held, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = held.Close() })
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = lock.Close()
}

func TestDaemonEndsWithAFailedStage(t *testing.T) {
	engines, _ := remote(t)
	cfg := testConfig(t, t.TempDir(), engines)
	a, err := New(cfg, slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.sockets.otlpHTTP.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Run(context.Background(), func(runinfo.Info) {}); err == nil || !strings.Contains(err.Error(), "servers: ") {
		t.Errorf("%v", err)
	}
}

// What goes wrong while the daemon ends is not kept from whoever runs it.
func TestFailureToSaveIsReturned(t *testing.T) {
	engines, _ := remote(t)
	a, err := New(testConfig(t, t.TempDir(), engines), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = a.Run(ctx, func(runinfo.Info) {
		if err := a.logs.Close(); err != nil { // so that the queue can't close it at its end
			t.Error(err)
		}
		cancel()
	})
	if err == nil || !strings.Contains(err.Error(), "queues: ") {
		t.Errorf("%v", err)
	}
}

// What a first start makes of its own is no change of what it watches.
func TestFirstStartIsNoReload(t *testing.T) {
	engines, _ := remote(t)
	a, err := New(testConfig(t, t.TempDir(), engines), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if changed := a.watched.Load().Changed(); len(changed) > 0 {
		t.Errorf("changed: %v", changed)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.Run(ctx, func(runinfo.Info) {}); err != nil {
		t.Error(err)
	}
}
