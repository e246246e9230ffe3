package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// drainTimeout is how long a dead child's output is read on. It only matters
// when a descendant left the process group and keeps the pipe open.
const drainTimeout = time.Second

// settle is how long a child runs on after it told that all is saved: time for
// Tempo's metrics generator to cut the last spans, which it does every half second.
const settle = time.Second

// processSpec is what to start.
type processSpec struct {
	binary string
	args   []string
	env    []string
	// lock is inherited by the child, and so held for as long as it lives.
	lock *os.File
	// guard, when set, is the command that stands between us and the child.
	guard []string
	// output is given a reader of the child's stdout and stderr, on its own goroutine.
	output func(io.Reader)
}

// process is a running child, the leader of its own process group.
type process struct {
	pid  int           // also the group's id
	done chan struct{} // closed when the child, its group and its output are gone
	err  error         // how it ended; valid after done
}

// startProcess starts a child that does not outlive us: where the system has
// one, the parent-death signal sees to that, elsewhere the guard.
func startProcess(spec processSpec) (*process, error) {
	guard := spec.guard
	if len(guard) == 0 && !hasParentDeathSignal {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("locate our own binary: %w", err)
		}
		guard = []string{self, GuardArg}
	}
	argv := append(append(append([]string{}, guard...), spec.binary), spec.args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = spec.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if spec.lock != nil {
		cmd.ExtraFiles = []*os.File{spec.lock}
	}
	p := &process{done: make(chan struct{})}
	if len(guard) > 0 {
		return p, p.startGuarded(cmd, spec.output)
	}
	dieWithParent(cmd.SysProcAttr)
	return p, p.start(cmd, spec.output, nil)
}

// startGuarded gives the guard the pipe by whose end it learns of ours.
func (p *process) startGuarded(cmd *exec.Cmd, output func(io.Reader)) error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make the guard's pipe: %w", err)
	}
	cmd.Stdin = read
	err = p.start(cmd, output, write)
	read.Close()
	if err != nil {
		write.Close()
	}
	return err
}

// start runs cmd and watches it. alive, if not nil, is closed at its end.
func (p *process) start(cmd *exec.Cmd, output func(io.Reader), alive io.Closer) error {
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make the output pipe: %w", err)
	}
	cmd.Stdout, cmd.Stderr = write, write
	started := make(chan error)
	go func() {
		// The parent-death signal comes when the thread that forked is gone, not
		// the process: this thread is kept until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		write.Close()
		if err != nil {
			read.Close()
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			output(read)
		}()
		started <- nil

		p.err = cmd.Wait()
		p.kill() // what the child left in its group
		_ = read.SetReadDeadline(time.Now().Add(drainTimeout))
		<-drained
		read.Close()
		if alive != nil {
			alive.Close()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return nil
}

// kill ends the whole process group at once.
func (p *process) kill() { _ = syscall.Kill(-p.pid, syscall.SIGKILL) }

// stop asks the group to end, and ends it once grace is over, or a moment
// (settle) after enough is closed. It returns when the child is gone, and
// reports whether it took all of grace.
func (p *process) stop(grace time.Duration, enough <-chan struct{}) (late bool) {
	select {
	case <-p.done:
		return false // its id may be somebody else's by now
	default:
	}
	_ = syscall.Kill(-p.pid, syscall.SIGTERM)
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-p.done:
			return false
		case <-enough:
			enough, settled = nil, time.After(settle)
			continue
		case <-settled:
		case <-deadline.C:
			late = true
		}
		p.kill()
		<-p.done
		return late
	}
}

// environment is what a child gets of ours: not what would make it send its own
// traces somewhere, speak to our service manager, or see our secrets.
func environment(ours []string) []string {
	var theirs []string
	for _, entry := range ours {
		switch name, _, _ := strings.Cut(entry, "="); {
		case strings.HasPrefix(name, "OTEL_"), strings.HasPrefix(name, "JAEGER_"),
			strings.HasPrefix(name, "INVOSCOPE_"), strings.HasPrefix(name, "LISTEN_"),
			name == "NOTIFY_SOCKET", name == "WATCHDOG_USEC", name == "WATCHDOG_PID":
		default:
			theirs = append(theirs, entry)
		}
	}
	return theirs
}

// tryLock takes an exclusive lock on the file at path, which it makes when
// needed. The lock lives as long as any process has the returned file open. It
// returns [errLocked], and the open file, when another process has it.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return file, errLocked
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}

var errLocked = errors.New("locked by another process")
