package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Root is the folder of the repository.
func Root(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("find the repository: no caller information")
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Binary is the path of bin/name. The test fails when it isn't there.
func Binary(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing: run make build engines senders", path)
	}
	return path
}

// Process is a running program. It is killed, with its process group, when the
// test ends.
type Process struct {
	cmd    *exec.Cmd
	output *tail
	done   chan struct{}
	err    error // set before done is closed
}

// Spawn starts cmd. Where cmd has no Stdout or Stderr, its output is kept and
// logged if the test fails.
func Spawn(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, output: &tail{}, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.output
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.output
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A grandchild that outlives cmd must not keep Wait on the output pipes.
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	killGroup := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	stopWatch := beforeDeadline(t, killGroup)
	t.Cleanup(func() {
		stopWatch()
		killGroup()
		<-p.done
		if t.Failed() && p.output.String() != "" {
			t.Logf("%s (%v) wrote:\n%s", filepath.Base(cmd.Path), cmd.ProcessState, p.output)
		}
	})
	return p
}

// beforeDeadline calls end shortly before the test binary's -timeout, which
// panics past all cleanups. The function it returns calls that off.
func beforeDeadline(t testing.TB, end func()) (stop func()) {
	limited, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return func() {}
	}
	deadline, ok := limited.Deadline()
	if !ok {
		return func() {}
	}
	timer := time.AfterFunc(time.Until(deadline)-10*time.Second, end)
	return func() { timer.Stop() }
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns how the process ended, as [exec.Cmd.Wait] does, or an error when
// it is still running after limit.
func (p *Process) Wait(limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.err
	case <-timer.C:
		return fmt.Errorf("still running after %v", limit)
	}
}

// Terminate sends SIGTERM and returns as [Process.Wait] does.
func (p *Process) Terminate(limit time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("send SIGTERM: %w", err)
	}
	return p.Wait(limit)
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill sends SIGKILL to the process alone, not to its group, and waits until it
// is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Output is the last part of what the process wrote.
func (p *Process) Output() string { return p.output.String() }

// tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// tailSize bounds what a failing test prints for each process, in bytes.
const tailSize = 64 << 10

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, b...)
	if extra := len(w.buf) - tailSize; extra > 0 {
		w.buf = append(w.buf[:0], w.buf[extra:]...)
	}
	return len(b), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.buf)
}
