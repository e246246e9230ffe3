package queue

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
	"github.com/google/uuid"
)

// Letter is a request that can't be delivered, and why.
type Letter struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"` // when it became a dead letter
	Reason string    `json:"reason"`
	Items  int       `json:"items"`
	Body   []byte    `json:"body"` // as the engine would have received it
}

// DeadLetters keeps letters by tenant, one JSON object a line in the file
// <tenant>.jsonl. Letters that someone wants delivered again are moved to
// <tenant>.retry.jsonl, where the queue fetches them. Each call locks the
// directory, so a daemon and a command may use it at once.
type DeadLetters struct {
	dir      string
	maxBytes int64 // of a tenant's letters
}

const (
	lettersExt = ".jsonl"
	retryExt   = ".retry.jsonl"
)

// DeadLettersDir is where the queue in queueDir keeps its dead letters.
func DeadLettersDir(queueDir string) string { return filepath.Join(queueDir, "dead") }

// OpenDeadLetters opens the dead letters of the queue in queueDir, of a tenant up
// to maxBytes. The directory is made when it isn't there.
func OpenDeadLetters(queueDir string, maxBytes int64) (*DeadLetters, error) {
	dir := DeadLettersDir(queueDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of dead letters: %w", err)
	}
	return &DeadLetters{dir: dir, maxBytes: maxBytes}, nil
}

// lockRetry is how often a lock that someone else has is tried.
const lockRetry = 20 * time.Millisecond

// locked runs do while nobody else uses the directory.
func (d *DeadLetters) locked(ctx context.Context, do func() error) error {
	lock := flock.New(filepath.Join(d.dir, "lock"), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockRetry); err != nil {
		return fmt.Errorf("lock the dead letters: %w", err)
	}
	defer func() { _ = lock.Unlock() }() // closing its file can't leave it locked
	if err := d.giveAway("lock"); err != nil {
		return err
	}
	return do()
}

// giveAway makes a file belong to whom the directory belongs to: a command that root
// runs must not leave files that the daemon can't write.
func (d *DeadLetters) giveAway(name string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(d.dir)
	if err != nil {
		return fmt.Errorf("look at the dead letters: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := os.Chown(filepath.Join(d.dir, name), int(owner.Uid), int(owner.Gid)); err != nil {
		return fmt.Errorf("give a file of the dead letters to their owner: %w", err)
	}
	return nil
}

// add appends a letter durably. It returns [ErrFull] when the tenant has no room.
func (d *DeadLetters) add(ctx context.Context, tenant string, letter Letter) error {
	letter.ID = uuid.NewString()
	line, err := encodeLetters([]Letter{letter})
	if err != nil {
		return err
	}
	return d.locked(ctx, func() error { return d.append(tenant, lettersExt, line, d.maxBytes) })
}

func encodeLetters(letters []Letter) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, l := range letters {
		if err := enc.Encode(l); err != nil {
			return nil, fmt.Errorf("encode a dead letter: %w", err)
		}
	}
	return out.Bytes(), nil
}

// append adds lines to a tenant's file, all or nothing.
func (d *DeadLetters) append(tenant, ext string, lines []byte, maxBytes int64) (err error) {
	f, err := os.OpenFile(filepath.Join(d.dir, tenant+ext), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("measure the dead letters: %w", err)
	}
	if torn, err := isTorn(f, info.Size()); err != nil {
		return err
	} else if torn {
		lines = append([]byte{'\n'}, lines...)
	}
	if maxBytes > 0 && info.Size()+int64(len(lines)) > maxBytes {
		return fmt.Errorf("the dead letters of %s: %w", tenant, ErrFull)
	}
	if err := d.giveAway(tenant + ext); err != nil {
		return err
	}
	if _, err = f.Write(lines); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("write a dead letter: %w", errors.Join(err, f.Truncate(info.Size())))
	}
	return nil
}

// isTorn reports whether the process was killed while it wrote the file's last
// line.
func isTorn(f *os.File, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil {
		return false, fmt.Errorf("read the dead letters: %w", err)
	}
	return last[0] != '\n', nil
}

// Tenants returns who has letters, in order.
func (d *DeadLetters) Tenants() ([]string, error) { return d.tenants(lettersExt) }

func (d *DeadLetters) tenants(ext string) ([]string, error) {
	files, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("list the dead letters: %w", err)
	}
	var tenants []string
	for _, f := range files {
		if tenant, ok := strings.CutSuffix(f.Name(), ext); ok && !strings.Contains(tenant, ".") {
			tenants = append(tenants, tenant)
		}
	}
	return tenants, nil
}

// List returns a tenant's letters, the oldest first.
func (d *DeadLetters) List(ctx context.Context, tenant string) (letters []Letter, err error) {
	err = d.locked(ctx, func() error {
		letters, err = d.read(tenant, lettersExt)
		return err
	})
	return letters, err
}

// maxLetterBytes bounds a line: a record in base64, and what is around it.
const maxLetterBytes = 2 * commitBytes

// read skips a line that was cut off when the process was killed: it was not yet
// acknowledged to whoever wrote it.
func (d *DeadLetters) read(tenant, ext string) ([]Letter, error) {
	f, err := os.Open(filepath.Join(d.dir, tenant+ext))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the dead letters: %w", err)
	}
	defer f.Close()
	var letters []Letter
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLetterBytes)
	for lines.Scan() {
		var l Letter
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			letters = append(letters, l)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the dead letters: %w", err)
	}
	return letters, nil
}

// Purge removes those letters of a tenant that match, and returns how many.
func (d *DeadLetters) Purge(ctx context.Context, tenant string, match func(Letter) bool) (n int, err error) {
	err = d.locked(ctx, func() error {
		removed, err := d.take(tenant, match, func([]byte) error { return nil })
		n = len(removed)
		return err
	})
	return n, err
}

// Retry has those letters of a tenant that match delivered again, by the daemon
// that runs or the next that does, and returns how many.
func (d *DeadLetters) Retry(ctx context.Context, tenant string, match func(Letter) bool) (n int, err error) {
	err = d.locked(ctx, func() error {
		moved, err := d.take(tenant, match, func(lines []byte) error { return d.append(tenant, retryExt, lines, 0) })
		n = len(moved)
		return err
	})
	return n, err
}

// take removes matching letters after before was called with them.
func (d *DeadLetters) take(tenant string, match func(Letter) bool, before func(lines []byte) error) ([]Letter, error) {
	letters, err := d.read(tenant, lettersExt)
	if err != nil {
		return nil, err
	}
	var taken []Letter
	rest := slices.DeleteFunc(letters, func(l Letter) bool {
		if match(l) {
			taken = append(taken, l)
			return true
		}
		return false
	})
	if len(taken) == 0 {
		return nil, nil
	}
	lines, err := encodeLetters(taken)
	if err != nil {
		return nil, err
	}
	if err := before(lines); err != nil {
		return nil, err
	}
	return taken, d.replace(tenant, lettersExt, rest)
}

// replace writes a tenant's file anew, or removes it when there is nothing to
// write.
func (d *DeadLetters) replace(tenant, ext string, letters []Letter) error {
	path := filepath.Join(d.dir, tenant+ext)
	if len(letters) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove dead letters: %w", err)
		}
		return nil
	}
	lines, err := encodeLetters(letters)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, lines, 0o600, renameio.WithTempDir(d.dir)); err != nil {
		return fmt.Errorf("write the dead letters: %w", err)
	}
	return d.giveAway(tenant + ext)
}

// retryEvery is how often the queue looks for letters to deliver again.
const retryEvery = time.Second

// retryDead appends letters that are to be delivered again, until ctx ends.
func (q *Queue) retryDead(ctx context.Context) {
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	// Letters that were appended and couldn't be taken out of their file, on a full
	// disk, are not appended again.
	appended := map[string]bool{}
	failing := false
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		err := q.dead.retry(ctx, func(tenant string, l Letter) error {
			if appended[l.ID] {
				return nil
			}
			err := q.Append(ctx, tenant, Request{Body: l.Body, Items: l.Items})
			appended[l.ID] = err == nil
			return err
		})
		if err == nil {
			clear(appended)
		} else if !failing && ctx.Err() == nil {
			q.opts.Log.Warn("dead letters are not delivered again yet", "err", err)
		}
		failing = err != nil
	}
}

// retry hands the letters that are to be delivered again to deliver, and forgets
// those for which it returns nil.
func (d *DeadLetters) retry(ctx context.Context, deliver func(tenant string, l Letter) error) error {
	tenants, err := d.tenants(retryExt)
	if err != nil {
		return err
	}
	var errs []error
	for _, tenant := range tenants {
		errs = append(errs, d.locked(ctx, func() error { return d.retryOf(tenant, deliver) }))
	}
	return errors.Join(errs...)
}

func (d *DeadLetters) retryOf(tenant string, deliver func(tenant string, l Letter) error) error {
	letters, err := d.read(tenant, retryExt)
	if err != nil {
		return err
	}
	done := 0
	for done < len(letters) {
		if err = deliver(tenant, letters[done]); err != nil {
			break
		}
		done++
	}
	if done == 0 && err != nil {
		return err // the file is as it was
	}
	return errors.Join(err, d.replace(tenant, retryExt, letters[done:]))
}
