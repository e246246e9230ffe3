package harness

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// startLimit is generous: a loaded machine replays a write-ahead log first.
	startLimit = 60 * time.Second
	// stopLimit covers draining and the engines' own shutdown.
	stopLimit = 60 * time.Second
)

// Addresses is what D/run.json says of a ready daemon.
type Addresses struct {
	HTTP      string `json:"http"`       // "http://HOST:PORT"
	OTLPGRPC  string `json:"otlp_grpc"`  // "HOST:PORT"
	OTLPHTTP  string `json:"otlp_http"`  // "http://HOST:PORT"
	Admin     string `json:"admin"`      // "http://HOST:PORT"
	Tenant    string `json:"tenant"`     // the tenant of TokenFile
	TokenFile string `json:"token_file"` // the daemon's own token, with every scope of the tenant
}

// Daemon is a running "invoscope serve" with its engines, on free ports.
type Daemon struct {
	Addresses
	DataDir string

	t       testing.TB
	options Options
	proc    *Process
}

// Start runs a daemon on a new data directory and waits until it is ready. More
// flags of "invoscope serve" may follow. It stops when the test ends, and the
// test fails if it leaves a process behind.
func Start(t testing.TB, flags ...string) *Daemon {
	t.Helper()
	return StartIn(t, t.TempDir(), flags...)
}

// StartIn is [Start] on a data directory that may hold an earlier run's data.
func StartIn(t testing.TB, dataDir string, flags ...string) *Daemon {
	t.Helper()
	d := Launch(t, Options{DataDir: dataDir, Flags: flags})
	if err := d.AwaitReady(); err != nil {
		t.Fatal(err)
	}
	return d
}

// Options says how to run a daemon.
type Options struct {
	DataDir string
	// Binary is the program in the repository's bin folder; invoscope if empty.
	Binary string
	// Flags are more flags of "invoscope serve"; they override ours.
	Flags []string
	// Env is added to our own environment.
	Env []string
	// Output gets what the daemon writes. If nil it is kept, and logged when the
	// test fails.
	Output *os.File
}

func (o Options) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(Binary(t, cmp.Or(o.Binary, "invoscope")), args...)
	cmd.Env = append(os.Environ(), o.Env...)
	return cmd
}

// Launch runs a daemon, which stops when the test ends. It knows its addresses
// when it is ready.
func Launch(t testing.TB, o Options) *Daemon {
	t.Helper()
	if err := os.Remove(o.runFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("remove the earlier run's addresses: %v", err)
	}
	args := append([]string{
		"serve", "--data-dir", o.DataDir, "--http", "127.0.0.1:0",
		"--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--admin", "127.0.0.1:0",
	}, o.Flags...)
	// Cleanups run last in, first out: look for leftovers after everything ended.
	t.Cleanup(func() { endLeftovers(t, o.DataDir) })
	cmd := o.command(t, args...)
	if o.Output != nil {
		cmd.Stdout, cmd.Stderr = o.Output, o.Output
	}
	d := &Daemon{DataDir: o.DataDir, t: t, options: o, proc: Spawn(t, cmd)}
	t.Cleanup(func() {
		select {
		case <-d.proc.Done():
		default:
			d.Stop()
		}
	})
	return d
}

func (o Options) runFile() string { return filepath.Join(o.DataDir, "run.json") }

// AwaitReady returns nil once the daemon is ready, and an error when it ends
// before or takes too long.
func (d *Daemon) AwaitReady() error {
	deadline := time.Now().Add(startLimit)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		content, err := os.ReadFile(d.options.runFile())
		if err == nil {
			err = json.Unmarshal(content, &d.Addresses)
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("invoscope is not ready within %v: %w", startLimit, err)
		}
		select {
		case <-d.proc.Done():
			return fmt.Errorf("invoscope ended while starting: %v\n%s", d.proc.cmd.ProcessState, d.proc.Output())
		case <-ticker.C:
		}
	}
}

// Stop sends SIGTERM and waits. The test fails if the daemon doesn't end by
// itself with status 0.
func (d *Daemon) Stop() {
	d.t.Helper()
	if err := d.proc.Terminate(stopLimit); err != nil {
		d.t.Errorf("stop invoscope: %v", err)
		d.proc.Kill()
	}
}

// Terminate sends SIGTERM and returns how the daemon ended.
func (d *Daemon) Terminate() error { return d.proc.Terminate(stopLimit) }

// Kill ends the daemon alone with SIGKILL, as a crash would.
func (d *Daemon) Kill() { d.proc.Kill() }

// EnginePID is the process id of an engine, loki or tempo, that the daemon runs.
func (d *Daemon) EnginePID(name string) (int, error) {
	running, err := Leftovers(d.DataDir)
	if err != nil {
		return 0, err
	}
	for _, process := range running {
		var pid int
		var program string
		if _, err := fmt.Sscan(process, &pid, &program); err == nil && filepath.Base(program) == name {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("%s doesn't run: %q", name, running)
}

// PID is the daemon's process id.
func (d *Daemon) PID() int { return d.proc.PID() }

// Client talks to the daemon with the daemon's own token.
func (d *Daemon) Client() Client { return Client{URL: d.HTTP, TokenFile: d.TokenFile} }

// ClientFor talks to the daemon with a new token of tenant, as
// "invoscope token issue" prints it.
func (d *Daemon) ClientFor(tenant string, scopes ...string) Client {
	d.t.Helper()
	args := []string{"token", "issue", "--data-dir", d.DataDir, "--tenant", tenant}
	for _, scope := range scopes {
		args = append(args, "--scope", scope)
	}
	token, err := run(d.options.command(d.t, args...))
	if err != nil {
		d.t.Fatalf("issue a token for %s: %v", tenant, err)
	}
	file := filepath.Join(d.t.TempDir(), "token")
	if err := os.WriteFile(file, token, 0o600); err != nil {
		d.t.Fatalf("write the token of %s: %v", tenant, err)
	}
	return Client{URL: d.HTTP, TokenFile: file}
}

// Leftovers lists the running processes whose command line mentions dataDir, as
// "PID COMMAND": those of a daemon on that directory and of its engines.
func Leftovers(dataDir string) ([]string, error) {
	out, err := run(exec.Command("ps", "-A", "-ww", "-o", "pid=", "-o", "args="))
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dataDir) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found, nil
}

// endLeftovers fails the test, and kills, when a stopped daemon's engines remain.
func endLeftovers(t testing.TB, dataDir string) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		left, err := Leftovers(dataDir)
		if err != nil {
			t.Error(err)
			return
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("processes left behind:\n%s", strings.Join(left, "\n"))
			for _, line := range left {
				var pid int
				if _, err := fmt.Sscan(line, &pid); err == nil {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			return
		}
		<-time.After(pollInterval)
	}
}
