package ship

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

const (
	// journalctlPatience is how long journalctl may take to end.
	journalctlPatience = 2 * time.Second
	// saveCursorEvery bounds what is sent twice after ship was killed.
	saveCursorEvery = time.Second
	// maxComplaint is how much of what journalctl says about a failure is quoted.
	maxComplaint = 1024
)

// Journal says which entries of the system's journal to ship.
type Journal struct {
	Units     []string // of systemd; none means all
	Directory string   // with journal files other than the system's own, or empty
	Program   string   // empty is journalctl
}

// args are those of the journalctl that follows the journal.
func (j Journal) args(cursor string, fromEnd bool) []string {
	// --all: without it, journalctl leaves out messages of more than 4 KiB.
	args := []string{"--output=json", "--all", "--follow"}
	switch {
	case cursor != "":
		args = append(args, "--no-tail", "--after-cursor="+cursor)
	case fromEnd:
		args = append(args, "--lines=0")
	default:
		args = append(args, "--no-tail")
	}
	if j.Directory != "" {
		args = append(args, "--directory="+j.Directory)
	}
	for _, u := range j.Units {
		args = append(args, "--unit="+u)
	}
	return args
}

// followJournal ships the journal until ctx ends, from behind the entry at which
// the last one with the same state directory ended.
func followJournal(ctx context.Context, b *batcher, l *labeler, o Options) error {
	saved := &cursor{path: filepath.Join(o.StateDir, "journal.cursor"), log: o.Log}
	if err := saved.load(); err != nil {
		return err
	}
	program := o.Journal.Program
	if program == "" {
		program = "journalctl"
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	cmd := exec.CommandContext(running, program, o.Journal.args(saved.value, o.FromEnd)...) //nolint:gosec // the user names the program
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = journalctlPatience
	complaint := &excerpt{}
	cmd.Stderr = complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("follow the journal: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("follow the journal: %w", err)
	}
	j := newJournal(l, o.Log, true)
	u := &unwrapper{format: FormatJournald, from: l.source(nil), add: b.add, journal: j}
	ended := readTokens(out, u, func() { saved.pass(j, b) })
	select {
	case <-b.failed: // nobody reads on
		stop()
	default:
	}
	waitErr := cmd.Wait()
	if !ends(running) {
		return errors.Join(ended, fmt.Errorf("journalctl ended by itself: %w: %s", cmp.Or(waitErr, errEnded), complaint))
	}
	saved.save(j, b)
	return ended
}

// ends waits for a context's end for a moment: a terminal and systemd stop
// journalctl at the same time as ship.
func ends(ctx context.Context) bool {
	timer := time.NewTimer(journalctlPatience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return true
	case <-timer.C:
		return false
	}
}

var errEnded = errors.New("exit status 0")

// cursor is the place in the journal up to which everything is stored.
type cursor struct {
	path    string
	value   string
	saved   time.Time
	failing bool // the last save failed, and was reported
	log     *slog.Logger
}

func (c *cursor) load() error {
	raw, err := os.ReadFile(c.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("resume the journal: %w", err)
	}
	c.value = strings.TrimSpace(string(raw))
	return nil
}

// pass saves the cursor from time to time.
func (c *cursor) pass(j *journal, b *batcher) {
	if time.Since(c.saved) < saveCursorEvery {
		return
	}
	if j.flush(b.add, j.at.Add(-partialLineWait)) == nil {
		c.save(j, b)
	}
}

// save stores what was read and then its end, unless lines of which only parts
// have come would be behind it.
func (c *cursor) save(j *journal, b *batcher) {
	if len(j.open) > 0 || string(j.cursor) == c.value || len(j.cursor) == 0 || b.flush() != nil {
		return
	}
	c.saved = time.Now()
	err := renameio.WriteFile(c.path, j.cursor, 0o600)
	if err == nil {
		c.value = string(j.cursor)
	} else if !c.failing {
		c.log.Warn("cannot save how far the journal was read; shipping goes on, and sends again from the last save after a restart", "error", err)
	}
	c.failing = err != nil
}

// excerpt keeps the beginning of what is written to it.
type excerpt struct{ text []byte }

func (e *excerpt) Write(p []byte) (int, error) {
	e.text = append(e.text, p[:min(len(p), maxComplaint-len(e.text))]...)
	return len(p), nil
}

func (e *excerpt) String() string { return string(bytes.TrimSpace(e.text)) }
