package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"text/template"
	"time"
)

// Engine is a real Loki or Tempo that no daemon runs, set up as the embedded
// one is. It answers on unix sockets, so that it never takes somebody's port.
type Engine struct {
	Name       string // "loki" or "tempo"
	HTTPSocket string // the query and push API
	OTLPSocket string // OTLP/gRPC; Tempo only

	t    testing.TB
	dir  string
	proc atomic.Pointer[Process]
}

// StartEngine runs an engine on a new data directory and waits until it is
// ready. It is killed when the test ends.
func StartEngine(t testing.TB, name string) *Engine {
	t.Helper()
	// The path of a socket has room for a hundred bytes; t.TempDir takes more.
	dir, err := os.MkdirTemp("", name)
	if err != nil {
		t.Fatalf("make the data directory of %s: %v", name, err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e := &Engine{
		Name:       name,
		HTTPSocket: filepath.Join(dir, "http.sock:80"), // the engines add the port
		OTLPSocket: filepath.Join(dir, "otlp.sock"),
		t:          t,
		dir:        dir,
	}
	if err := e.Restart(); err != nil {
		t.Fatal(err)
	}
	return e
}

// Process is the engine that was started last.
func (e *Engine) Process() *Process { return e.proc.Load() }

// Restart starts an engine that has ended on the data that it had, and waits
// until it is ready.
func (e *Engine) Restart() error {
	e.t.Helper()
	for _, socket := range []string{e.HTTPSocket, e.OTLPSocket} {
		if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a stale socket: %w", err)
		}
	}
	config, err := e.writeConfig()
	if err != nil {
		return err
	}
	proc := Spawn(e.t, exec.Command(Binary(e.t, e.Name), "-config.file="+config))
	e.proc.Store(proc)
	return e.awaitReady(proc)
}

// Client speaks HTTP/1.1 to the engine, whatever the host in the URL.
func (e *Engine) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: DialUnix(e.HTTPSocket)}}
}

// DialUnix makes connections to a unix socket, whatever the address.
func DialUnix(socket string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
}

func (e *Engine) awaitReady(proc *Process) error {
	client := e.Client()
	client.Timeout = 2 * time.Second
	defer client.CloseIdleConnections()
	deadline := time.Now().Add(startLimit)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		resp, err := client.Get("http://engine/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready within %v: %w", e.Name, startLimit, err)
		}
		select {
		case <-proc.Done():
			return fmt.Errorf("%s ended while starting: %v\n%s", e.Name, proc.cmd.ProcessState, proc.Output())
		case <-ticker.C:
		}
	}
}

// settings is what relay/engine fills in its templates with.
type settings struct {
	DataDir, Overrides                 string
	HTTPSocket, SocketPort, OTLPSocket string
	GRPCPort                           int
	Retention, MaxEntryAge             string
	MaxEntryLead, MaxChunkAge          string
}

// Path is the absolute path of something in the data directory.
func (s settings) Path(name string) string { return filepath.Join(s.DataDir, filepath.FromSlash(name)) }

// writeConfig writes the configuration that an embedded engine has.
func (e *Engine) writeConfig() (path string, err error) {
	source := filepath.Join(Root(e.t), "relay", "engine", "config", e.Name+".yaml.tmpl")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", fmt.Errorf("read the engine's template: %w", err)
	}
	quote := func(s string) (string, error) { b, err := json.Marshal(s); return string(b), err }
	tmpl, err := template.New(e.Name).Funcs(template.FuncMap{"quote": quote}).Parse(string(text))
	if err != nil {
		return "", fmt.Errorf("parse the engine's template: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	s := settings{
		DataDir: e.dir, Overrides: filepath.Join(e.dir, "overrides.yaml"),
		HTTPSocket: filepath.Join(e.dir, "http.sock"), SocketPort: "80", OTLPSocket: e.OTLPSocket,
		GRPCPort: port, Retention: "336h", MaxEntryAge: "360h", MaxEntryLead: "24h", MaxChunkAge: "768h",
	}
	var config bytes.Buffer
	if err := tmpl.Execute(&config, s); err != nil {
		return "", fmt.Errorf("fill in the engine's template: %w", err)
	}
	path = filepath.Join(e.dir, "config.yaml")
	if err := os.WriteFile(path, config.Bytes(), 0o600); err != nil {
		return "", fmt.Errorf("write the engine's configuration: %w", err)
	}
	if err := os.WriteFile(s.Overrides, []byte("overrides: {}\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the engine's overrides: %w", err)
	}
	return path, nil
}

// freePort finds a TCP port on loopback that nobody listens on just now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
