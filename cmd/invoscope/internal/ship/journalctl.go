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
	j.cursor = []byte(saved.value)
	u := &unwrapper{format: FormatJournald, from: l.source(nil), joiner: joiner{add: b.add, wait: o.MultilineWait}, journal: j}
	ended := readTokens(out, u, func() { saved.pass(u, b) })
	_ = u.endRecords() // the batcher's end tells of an error
	select {
	case <-b.failed: // nobody reads on
		stop()
	default:
	}
	waitErr := cmd.Wait()
	if !ends(running) {
		return errors.Join(ended, fmt.Errorf("journalctl ended by itself: %w: %s", cmp.Or(waitErr, errEnded), complaint))
	}
	saved.save(u, b)
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
func (c *cursor) pass(u *unwrapper, b *batcher) {
	if time.Since(c.saved) >= saveCursorEvery && u.giveUpParts(partialLineWait) == nil {
		c.save(u, b)
	}
}

// save stores what was read and then its end, or that of what stands before the
// first record that may go on, unless lines of which only parts have come would be
// behind it.
func (c *cursor) save(u *unwrapper, b *batcher) {
	to := u.resumeAt()
	if to == "" || to == c.value || b.flush() != nil {
		return
	}
	c.saved = time.Now()
	err := renameio.WriteFile(c.path, []byte(to), 0o600)
	if err == nil {
		c.value = to
	} else if !c.failing {
		c.log.Warn("cannot save how far the journal was read; shipping goes on, and sends again from the last save after a restart", "error", err)
	}
	c.failing = err != nil
}

// giveUpParts adds the lines of a journal whose last part is overdue.
func (u *unwrapper) giveUpParts(after time.Duration) error {
	u.joiner.mu.Lock()
	defer u.joiner.mu.Unlock()
	return u.journal.flush(&u.joiner, u.journal.at.Add(-after))
}

// endRecords adds what waits for further lines, but no line that came in part: that
// is read again, whole.
func (u *unwrapper) endRecords() error {
	u.joiner.mu.Lock()
	defer u.joiner.mu.Unlock()
	return u.joiner.end()
}

// resumeAt returns the cursor behind which nothing is but what was added, or "".
func (u *unwrapper) resumeAt() string {
	u.joiner.mu.Lock()
	defer u.joiner.mu.Unlock()
	if len(u.journal.open) > 0 {
		return ""
	}
	if at, waits := u.joiner.earliest(); waits {
		return string(at.cursor)
	}
	return string(u.journal.cursor)
}

// excerpt keeps the beginning of what is written to it.
type excerpt struct{ text []byte }

func (e *excerpt) Write(p []byte) (int, error) {
	e.text = append(e.text, p[:min(len(p), maxComplaint-len(e.text))]...)
	return len(p), nil
}

func (e *excerpt) String() string { return string(bytes.TrimSpace(e.text)) }
