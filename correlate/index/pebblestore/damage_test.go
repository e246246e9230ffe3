package pebblestore

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/invoscope/invoscope/correlate/index"
)

const damageKeys = 4000

// fill makes a store with tables, a log and a manifest, and closes it.
func fill(t *testing.T, dir string) {
	t.Helper()
	s, err := Open(testOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for from := 0; from < damageKeys; from += 1000 {
		err := s.Update(t.Context(), "a", nil, func(_ [][]byte, w *index.Writes) error {
			for n := range 1000 {
				key := fmt.Appendf(nil, "r%06d", from+n)
				w.Set = append(w.Set, index.KeyValue{Key: key, Value: []byte(strconv.Itoa(from+n) + " is the value")})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Compact(t.Context()), put(t, s, 1, "in the log"), put(t, s, 2, "in the log"), s.Sync(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// readAll opens a store and reads all that fill wrote.
func readAll(t *testing.T, dir string) error {
	s, err := Open(testOptions(dir))
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	for n := range damageKeys {
		value, err := s.Get(t.Context(), "a", fmt.Appendf(nil, "r%06d", n))
		if err != nil {
			return err
		}
		if value == nil {
			t.Errorf("key %d is gone, and nothing says so", n)
		}
	}
	return nil
}

func TestDamage(t *testing.T) {
	if !inChild(t) {
		return
	}
	flip := func(t *testing.T, path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := len(data) / 3; i < len(data)/3+64; i++ {
			data[i] ^= 0x55
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	truncate := func(t *testing.T, path string) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()/2); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, files string
		damage      func(t *testing.T, path string)
		harmless    bool // it may be, if nothing is gone
	}{
		{"tables with other bytes", "*.sst", flip, false},
		{"tables cut off", "*.sst", truncate, false},
		{"tables gone", "*.sst", remove, false},
		{"manifest with other bytes", "MANIFEST-*", flip, true},
		{"manifest gone", "MANIFEST-*", remove, false},
		{"options with other bytes", "OPTIONS-*", flip, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir)
			paths, err := filepath.Glob(filepath.Join(dir, c.files))
			if err != nil || len(paths) == 0 {
				t.Fatalf("no files %s: %v", c.files, err)
			}
			for _, path := range paths {
				c.damage(t, path)
			}
			if err := readAll(t, dir); !errors.Is(err, ErrCorrupt) && (err != nil || !c.harmless) {
				t.Errorf("got %v, want that the files are damaged", err)
			}
			// Moved away, a new one takes its place, in the same process.
			if err := os.Rename(dir, dir+".damaged"); err != nil {
				t.Fatal(err)
			}
			s, err := Open(testOptions(dir))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(put(t, s, 1, "new"), s.Sync(t.Context()), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(testOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, err := Open(testOptions(dir)); err == nil || errors.Is(err, ErrCorrupt) {
		t.Errorf("opening an open store: got %v", err)
	}
	if err := errors.Join(put(t, s, 1, "still here"), s.Sync(t.Context())); err != nil {
		t.Error(err)
	}
}

// killVariable has the directory that a child of TestKill writes to.
const killVariable = "INVOSCOPE_PEBBLESTORE_KILL"

// TestKill kills a process while it writes: all that it says it synced is there, and
// no update by half.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killVariable); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	synced := map[int]string{}
	for life := range 4 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), killVariable+"="+dir, childVariable+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for seen := 1; lines.Scan(); seen++ {
			number, value, ok := strings.Cut(lines.Text(), " ")
			n, err := strconv.Atoi(number)
			if !ok || err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
			synced[n] = value
			if seen == 60*(life+1) {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child wasn't killed")
		}
		s, err := Open(testOptions(dir))
		if err != nil {
			t.Fatal(err)
		}
		for n := range 1000 {
			if got := check(t, s, n); got < synced[n] {
				t.Errorf("life %d: update %d is %.20q, but %.20q was synced", life, n, got, synced[n])
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(synced) < 60*4 {
		t.Errorf("only %d updates were synced", len(synced))
	}
}

func writeUntilKilled(t *testing.T, dir string) {
	s, err := Open(testOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	for round := 0; ; round++ {
		for n := range 1000 {
			value := fmt.Sprintf("%d-%06d", os.Getpid(), round)
			if err := put(t, s, n, value); err != nil {
				t.Fatal(err)
			}
			if n%3 == 0 {
				if err := s.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintln(os.Stdout, n, value)
			}
		}
	}
}
