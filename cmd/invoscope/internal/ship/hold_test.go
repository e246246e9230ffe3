package ship

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/fileconsumer/attrs"
)

const (
	server    = `{"timestamp":"2026-11-23T03:10:15Z","level":"INFO"}`
	failure   = "2026-11-23T03:10:16Z WARN retrying. error=Got a (transient) error"
	cause     = "[500 Internal] quota exceeded."
	trace     = "    at Object.exhausts (file:///srv/services.mjs:105:43)"
	recovered = "2026-11-23T03:10:17Z INFO well again"
)

// A ship that is killed while a record waits for its next line reads the record again
// whole: what is saved of a file isn't behind the record's beginning.
func TestKilledWhileARecordWaits(t *testing.T) {
	cri := func(stream, line string) string {
		return fmt.Sprintf("2026-11-23T03:10:16Z %s F %s\n", stream, line)
	}
	for name, tt := range map[string]struct {
		before, waits, after string // in the file
		want                 []string
	}{
		"raw": {server + "\n", failure + "\n" + cause + "\n", trace + "\n" + recovered + "\n" + server + "\n",
			[]string{failure + "\n" + cause + "\n" + trace, recovered, server}},
		"both streams of a container": {cri("stdout", server), cri("stderr", failure) + cri("stdout", recovered) + cri("stderr", cause),
			cri("stderr", trace) + cri("stdout", server) + cri("stderr", server),
			[]string{recovered, server, failure + "\n" + cause + "\n" + trace, server}},
		"half of a line": {server + "\n", failure + "\n" + cause, "\n" + server + "\n",
			[]string{failure + "\n" + cause, server}},
	} {
		t.Run(name, func(t *testing.T) {
			relay := newRelay(t)
			o, _ := options(t, relay)
			o.MultilineWait = time.Hour
			o.Files = []string{filepath.Join(t.TempDir(), "restate.log")}
			write(t, o.Files[0], tt.before+tt.waits)
			s := start(t, o)
			relay.awaitLine(server)
			const known = "knownFiles.checkpoint"
			awaitFile(t, filepath.Join(o.StateDir, known), fmt.Sprintf(`"Offset":%d,`, len(tt.before)))
			saved, err := os.ReadFile(filepath.Join(o.StateDir, known))
			if err != nil {
				t.Fatal(err)
			}

			// Another that finds what the killed one left.
			appendTo(t, o.Files[0], tt.after)
			again := newRelay(t)
			o2, _ := options(t, again)
			o2.MultilineWait, o2.Files = time.Hour, o.Files
			if err := os.MkdirAll(o2.StateDir, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(o2.StateDir, known), string(saved))
			s2 := start(t, o2)
			again.await("all entries", func() bool { return len(again.entries) >= len(tt.want) })
			s2.stopWell()
			if diff := cmp.Diff(tt.want, again.lines()); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			s.stopWell()
		})
	}
}

// What waits when ship is stopped is sent, and not read again.
func TestStoppedWhileARecordWaits(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	o.MultilineWait = time.Hour
	o.Files = []string{filepath.Join(t.TempDir(), "restate.log")}
	text := server + "\n" + failure + "\n" + cause + "\n"
	write(t, o.Files[0], text)
	for range 2 {
		s := start(t, o)
		relay.awaitLine(server)
		awaitFile(t, filepath.Join(o.StateDir, "knownFiles.checkpoint"), `"Offset":`)
		s.stopWell()
	}
	awaitFile(t, filepath.Join(o.StateDir, "knownFiles.checkpoint"), fmt.Sprintf(`"Offset":%d,`, len(text)))
	if diff := cmp.Diff([]string{server, failure + "\n" + cause}, relay.lines()); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// A record doesn't go on in the next file, whether that was renamed or truncated.
func TestRecordsEndWithTheirFile(t *testing.T) {
	for name, rotate := range map[string]func(path string) error{
		"renamed":   func(path string) error { return os.Rename(path, path+".1") },
		"truncated": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			relay := newRelay(t)
			o, _ := options(t, relay)
			o.MultilineWait = time.Hour
			o.Files = []string{filepath.Join(t.TempDir(), "restate.log")}
			write(t, o.Files[0], server+"\n"+failure+"\n"+cause+"\n")
			s := start(t, o)
			awaitFile(t, filepath.Join(o.StateDir, "knownFiles.checkpoint"), fmt.Sprintf(`"Offset":%d,`, len(server)+1))
			if err := rotate(o.Files[0]); err != nil {
				t.Fatal(err)
			}
			appendTo(t, o.Files[0], "at first\n"+recovered+"\n"+trace+"\n"+server+"\n")
			relay.await("all entries", func() bool { return len(relay.entries) >= 5 })
			s.stopWell()
			if diff := cmp.Diff([]string{server, failure + "\n" + cause, "at first", recovered + "\n" + trace, server}, relay.lines()); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

// The wait ends a record too, and then the checkpoint passes it.
func TestTheWaitEndsARecord(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	o.MultilineWait = DefaultMultilineWait
	o.Files = []string{filepath.Join(t.TempDir(), "restate.log")}
	text := failure + "\n" + cause + "\n"
	write(t, o.Files[0], text)
	s := start(t, o)
	relay.awaitLine(failure + "\n" + cause)
	awaitFile(t, filepath.Join(o.StateDir, "knownFiles.checkpoint"), fmt.Sprintf(`"Offset":%d,`, len(text)))
	s.stopWell()
}

// The lines that a file holds when it is forgotten for others are sent, and only those
// of the others are held back.
func TestForgottenFiles(t *testing.T) {
	l, err := newLabeler(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	add := func(entry []byte, _ time.Time, _ *source) error {
		got = append(got, string(entry))
		return nil
	}
	f, err := newFollower(add, l, Options{Format: FormatAuto, MultilineWait: time.Hour, Log: discard()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range keepFiles + 2 {
		line := fmt.Sprintf("%s %d", failure, i)
		if err := f.emit(t.Context(), [][]byte{[]byte(line)}, map[string]any{attrs.LogFilePath: fmt.Sprint(i)}, 0, []int64{7, 99}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{failure + " 0", failure + " 1"}, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	held := f.holds()
	if last := (file{path: fmt.Sprint(keepFiles + 1)}); len(held) != keepFiles || held[last] != (hold{next: 99, from: 7}) {
		t.Errorf("%d files are held back, the last %+v", len(held), held[last])
	}
	if f.end(); len(got) != keepFiles+2 || len(f.holds()) != 0 {
		t.Errorf("%d entries, and %d files are held back", len(got), len(f.holds()))
	}
}

func TestSetBack(t *testing.T) {
	line := func(path string, offset int64) string {
		return fmt.Sprintf(`{"FileAttributes":{"log.file.path":%q,"log.file.path_resolved":"/r"},"Fingerprint":{"first_bytes":"YQ=="},"Offset":%d,"Z":{"x":1.50}}`+"\n", path, offset)
	}
	a, b := file{"/a", "/r"}, file{"/b", "/r"}
	for name, tt := range map[string]struct {
		list string
		held map[file]hold
		want string // "" if nothing may be saved
	}{
		"nothing waits":         {"1\n" + line("/a", 9), nil, "1\n" + line("/a", 9)},
		"one of two":            {"2\n" + line("/a", 9) + line("/b", 9), map[file]hold{b: {next: 9, from: 4}}, "2\n" + line("/a", 9) + line("/b", 4)},
		"both":                  {"2\n" + line("/a", 9) + line("/b", 8), map[file]hold{b: {next: 8, from: 4}, a: {next: 9, from: 0}}, "2\n" + line("/a", 0) + line("/b", 4)},
		"the newer of one path": {"2\n" + line("/a", 900) + line("/a", 9), map[file]hold{a: {next: 9, from: 4}}, "2\n" + line("/a", 900) + line("/a", 4)},
		"renamed":               {"1\n" + line("/a.1", 9), map[file]hold{a: {next: 9, from: 4}}, ""},
		"not what we know":      {"\x0a\x08\xff", map[file]hold{a: {next: 9, from: 4}}, ""},
	} {
		got, ok := setBack([]byte(tt.list), tt.held)
		if ok != (tt.want != "") || ok && string(got) != tt.want {
			t.Errorf("%s: %s %t, want %s", name, got, ok, tt.want)
		}
	}
}

// FuzzSetBack: whatever the list is, an offset is only ever set back, and only that of
// a file whose lines wait.
func FuzzSetBack(f *testing.F) {
	f.Add([]byte("1\n{\"Offset\":9,\"FileAttributes\":{\"log.file.path\":\"/a\"}}\n"), int64(9), int64(4))
	f.Fuzz(func(t *testing.T, list []byte, next, from int64) {
		back, ok := setBack(list, map[file]hold{{path: "/a"}: {next: next, from: from}})
		if ok && !strings.Contains(string(back), fmt.Sprintf(`"Offset":%d`, from)) {
			t.Errorf("%q became %q", list, back)
		}
	})
}
