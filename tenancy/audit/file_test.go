package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs", "audit.log")
	l, _ := openAt(t, Options{File: path, MaxBytes: 1 << 20, MaxFiles: 2})
	line := len(appendRecord(nil, someRecord(), 0))
	for range 4 << 20 / line {
		l.Record(someRecord())
	}
	if err := l.Close(); err != nil { // old files are cleared away in the background
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("the files are %v, %v; want the log and two older ones", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 1<<20 || info.Mode().Perm() != fileMode {
			t.Errorf("%s has %d bytes and mode %v", file, info.Size(), info.Mode())
		}
		checkLines(t, file)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != dirMode {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
}

// checkLines returns the number of a file's lines, which must be whole.
func checkLines(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if !json.Valid(line) || !bytes.HasSuffix(line, []byte("\n")) {
			t.Fatalf("%s: line %d is %q", file, n, line)
		}
	}
	return n
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l, _ := openAt(t, Options{File: path, MaxBytes: 1 << 20})
	l.Record(someRecord())
	moved := path + ".1"
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	l.Record(someRecord()) // still into the moved one
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Record(someRecord())
	if a, b := checkLines(t, moved), checkLines(t, path); a != 2 || b != 1 {
		t.Errorf("%d lines in the old file and %d in the new one, want 2 and 1", a, b)
	}
	if err := os.Mkdir(path+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	l.opts.File = path + ".d" // can't be opened
	if err := l.Reopen(); err == nil {
		t.Error("a directory was opened")
	}
	l.Record(someRecord())
	if n := checkLines(t, path); n != 2 {
		t.Errorf("after a failure: %d lines, want 2", n)
	}
}

func TestReopenWhileLinesAreWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l, _ := openAt(t, Options{File: path, MaxBytes: 10 << 20})
	const writers, each = 4, 200
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				l.Record(someRecord())
			}
		})
	}
	for range 20 {
		if err := l.Reopen(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if n := checkLines(t, path); n != writers*each {
		t.Errorf("%d lines, want %d", n, writers*each)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(file, "audit.log")} {
		if _, err := Open(Options{File: path, Registerer: prometheus.NewRegistry()}); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
}

// disk takes so many bytes.
type disk struct {
	room int
	bytes.Buffer
}

var errFull = errors.New("no space left on device")

func (d *disk) Write(p []byte) (int, error) {
	if len(p) <= d.room {
		d.room -= len(p)
		return d.Buffer.Write(p)
	}
	n, _ := d.Buffer.Write(p[:d.room])
	d.room = 0
	return n, errFull
}

// A disk that is full costs lines, which is counted and said, and leaves none torn.
func TestDiskIsFull(t *testing.T) {
	var said bytes.Buffer
	d := &disk{}
	line := len(appendRecord(nil, someRecord(), 0))
	d.room = line + line/2
	l, now := openAt(t, Options{File: Stderr, Stderr: d, Log: slog.New(slog.NewTextHandler(&said, nil))})
	for range 100 {
		l.Record(someRecord())
	}
	if got := strings.Count(said.String(), "no space left"); got != 1 {
		t.Errorf("said %d times: %s", got, &said)
	}
	*now = now.Add(sayFailing)
	l.Record(someRecord())
	if got := strings.Count(said.String(), "no space left"); got != 2 {
		t.Errorf("said %d times after a minute", got)
	}
	d.room = 1 << 20
	l.Record(someRecord())
	lines := strings.Split(strings.TrimSpace(d.String()), "\n")
	if len(lines) != 3 || !json.Valid([]byte(lines[0])) || json.Valid([]byte(lines[1])) || !json.Valid([]byte(lines[2])) {
		t.Errorf("the lines are %q", lines)
	}
	if lost, written := testutil.ToFloat64(l.metrics.lost), testutil.ToFloat64(l.metrics.written); lost != 100 || written != 2 {
		t.Errorf("counted %v lost and %v written, want 100 and 2", lost, written)
	}
}

func TestAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l, _ := openAt(t, Options{File: path})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Record(someRecord())
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	if n, lost := checkLines(t, path), testutil.ToFloat64(l.metrics.lost); n != 0 || lost != 1 {
		t.Errorf("%d lines and %v lost, want 0 and 1", n, lost)
	}
}
