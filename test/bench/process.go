package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a program that bench started.
type child struct {
	cmd *exec.Cmd
	log string // the file that its stderr goes to
}

// spawn starts a program. It is told to stop, and in the end killed, when ctx
// ends; its stderr goes to a file in dir. stdin and stdout may be nil.
func spawn(ctx context.Context, dir string, stdin io.Reader, stdout io.Writer, argv ...string) (*child, error) {
	c := &child{
		cmd: exec.CommandContext(ctx, argv[0], argv[1:]...),
		log: filepath.Join(dir, filepath.Base(argv[0])+".log"),
	}
	f, err := os.Create(c.log)
	if err != nil {
		return nil, fmt.Errorf("make a log file: %w", err)
	}
	defer f.Close()
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, stdout, f
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = 20 * time.Second
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the program and waits for it. How it ends doesn't matter any more.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.cmd.Wait()
}

// says is err with the end of what the program logged.
func (c *child) says(err error) error {
	content, _ := os.ReadFile(c.log)
	return fmt.Errorf("%w; it wrote:\n%s", err, content[max(0, len(content)-4<<10):])
}

// clockTicks is the unit of CPU times in /proc: USER_HZ, 100 on every Linux that
// Go runs on.
const clockTicks = 100

// cpuTime is the user and system time that a process has used.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	// The second field is the name in parentheses, which may hold anything. utime
	// and stime are the 14th and 15th (proc_pid_stat(5)).
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	if len(fields) < 13 {
		return 0, errors.New("read CPU time: unexpected form of /proc/PID/stat")
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// peakMemory is the most resident memory that a process has had, in bytes.
func peakMemory(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read peak memory: %w", err)
	}
	defer f.Close()
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		if value, ok := strings.CutPrefix(scanner.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("read peak memory: no VmHWM")
}

// engineOf is the process that runs bin/name on dataDir: an engine of the
// daemon.
func engineOf(name, dataDir string) (int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		program, args, _ := strings.Cut(string(content), "\x00")
		if filepath.Base(program) == name && strings.Contains(args, dataDir) {
			return strconv.Atoi(filepath.Base(filepath.Dir(file)))
		}
	}
	return 0, fmt.Errorf("no %s runs on %s", name, dataDir)
}

// poll calls try every 50 ms until it returns nil, for at most limit.
func poll(ctx context.Context, limit time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", limit, err)
		case <-ticker.C:
		}
	}
}

// ask does one small HTTP request and decodes a JSON answer into into,
// unless that is nil.
func ask(ctx context.Context, method, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err // names method and URL
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	return nil
}
