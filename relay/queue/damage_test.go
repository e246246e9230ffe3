package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestTornTailKeepsWhatStandsBefore(t *testing.T) {
	dir := t.TempDir()
	away := &fakeEngine{answer: func(string, string) error { return errTransient }}
	q := open(t, dir, away)
	stop := run(t, q)
	for _, b := range bodies(5) {
		mustAppend(t, q, "acme", b)
	}
	stop()
	segment := filepath.Join(dir, "log", "00000000")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.Index(b, []byte("request 004"))
	if err := os.WriteFile(segment, b[:end+3], 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, open(t, dir, away))() // a start that delivers nothing: the next finds the same damage
	e := &fakeEngine{}
	q = open(t, dir, e)
	defer run(t, q)()
	mustAppend(t, q, "acme", "after")
	want := append(bodies(4), "after")
	eventually(t, "all is delivered", func() bool { return len(e.stored("acme")) == len(want) })
	if got := e.stored("acme"); !slices.Equal(got, want) {
		t.Errorf("received %q", got)
	}
	if kept, err := os.ReadDir(filepath.Join(dir, "damaged")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copies are kept of what nobody was told was stored: %v %v", kept, err)
	}
}

// Damage before other records is no torn tail: something acknowledged is behind it.
func TestDamagedSegmentIsKept(t *testing.T) {
	for name, size := range map[string]int{"within a page": 10, "over pages": 2 * pageBytes} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			away := &fakeEngine{answer: func(string, string) error { return errTransient }}
			q := open(t, dir, away)
			stop := run(t, q)
			var want []string
			for i := range 3 {
				want = append(want, fmt.Sprintf("request %d%s", i, strings.Repeat("x", size)))
				mustAppend(t, q, "acme", want[i])
			}
			stop()
			segment := filepath.Join(dir, "log", "00000000")
			b, err := os.ReadFile(segment)
			if err != nil {
				t.Fatal(err)
			}
			b[bytes.Index(b, []byte("request 1"))] ^= 1
			if err := os.WriteFile(segment, b, 0o600); err != nil {
				t.Fatal(err)
			}
			e := &fakeEngine{}
			q = open(t, dir, e)
			defer run(t, q)()
			mustAppend(t, q, "acme", "after")
			eventually(t, "all is delivered", func() bool { return len(e.stored("acme")) == 2 })
			if got := e.stored("acme"); !slices.Equal(got, []string{want[0], "after"}) {
				t.Errorf("received %.40q", got)
			}
			if kept, err := os.ReadDir(filepath.Join(dir, "damaged")); err != nil || len(kept) != 1 {
				t.Errorf("copies of damaged segments: %v %v", kept, err)
			}
		})
	}
}

// A damaged record of a tenant that isn't delivered doesn't keep the log.
func TestDamagedRecordDoesNotKeepTheLog(t *testing.T) {
	dir := t.TempDir()
	e := &fakeEngine{}
	var mu sync.Mutex
	away := true
	e.answer = func(tenant, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if tenant == "stalled" && away {
			return errTransient
		}
		return nil
	}
	q := open(t, dir, e)
	stop := run(t, q)
	for _, b := range []string{"first", "second"} {
		mustAppend(t, q, "stalled", b)
	}
	stop()
	q = open(t, dir, e)
	q.log.rotate = 1 << 20
	segment := filepath.Join(dir, "log", "00000000")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("first"))] ^= 1 // the disk does that while we run
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
	defer run(t, q)()
	for i := range 30 {
		mustAppend(t, q, "acme", strings.Repeat("x", 512<<10))
		eventually(t, "it is delivered", func() bool { return len(e.stored("acme")) == i+1 })
	}
	eventually(t, "the first segment is gone", func() bool {
		_, err := os.Stat(segment)
		return errors.Is(err, fs.ErrNotExist)
	})
	mu.Lock()
	away = false
	mu.Unlock()
	eventually(t, "the other is delivered", func() bool { return slices.Equal(e.stored("stalled"), []string{"second"}) })
}

func TestSegmentThatCannotBeReadIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "log", "00000000"), 0o700); err != nil { // a directory in a segment's place
		t.Fatal(err)
	}
	o := Options{Dir: dir, MaxBytes: 1 << 20, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
	if q, err := Open(o); err == nil {
		t.Errorf("opened %v", q)
	}
	if _, err := os.Stat(filepath.Join(dir, "log", "00000000")); err != nil {
		t.Errorf("what can't be read was removed: %v", err)
	}
}

func TestRecordOfANewerVersionIsAnError(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir, &fakeEngine{answer: func(string, string) error { return errTransient }})
	stop := run(t, q)
	mustAppend(t, q, "acme", "x")
	stop()
	l, err := openLog(filepath.Join(dir, "log"), filepath.Join(dir, "damaged"), slog.New(slog.DiscardHandler), func(record, location) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.wal.Log([]byte{recordVersion + 1}), l.wal.Close()); err != nil {
		t.Fatal(err)
	}
	o := q.opts
	o.Registerer = prometheus.NewRegistry()
	if _, err := Open(o); !errors.Is(err, errRecord) {
		t.Errorf("opened over a record of another version: %v", err)
	}
}
