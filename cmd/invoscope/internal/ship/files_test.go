package ship

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
)

// shipping is a Run in the background.
type shipping struct {
	t    *testing.T
	end  context.CancelFunc
	done chan error
}

func start(t *testing.T, o Options) *shipping {
	ctx, cancel := context.WithCancel(t.Context())
	s := &shipping{t: t, end: cancel, done: make(chan error, 1)}
	go func() {
		_, err := Run(ctx, o)
		s.done <- err
	}()
	t.Cleanup(cancel)
	return s
}

func (s *shipping) stop() error {
	s.end()
	return <-s.done
}

func (s *shipping) stopWell() {
	s.t.Helper()
	if err := s.stop(); err != nil {
		s.t.Errorf("stop: %v", err)
	}
}

// numbered returns the lines name-from to name-(to-1), which begin with a time
// as real ones do, and their text.
func numbered(name string, from, to int) (lines []string, text string) {
	for i := from; i < to; i++ {
		at := time.Date(2026, 11, 23, 5, 0, i, 0, time.UTC)
		lines = append(lines, fmt.Sprintf(`{"timestamp":"%s","fields":{"message":"%s-%d"}}`, at.Format(time.RFC3339), name, i))
	}
	return lines, strings.Join(lines, "\n") + "\n"
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// only returns the lines that contain name.
func only(lines []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.Contains(l, name) })
}

func TestFilesAreFollowed(t *testing.T) {
	relay := newRelay(t)
	o, log := options(t, relay)
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.log"), filepath.Join(dir, "b [1].log")
	c := filepath.Join(dir, "c.log")
	o.Files = []string{filepath.Join(dir, "a*"), b, c}
	linesA, textA := numbered("a", 0, 1500)
	write(t, a, textA)
	linesB, textB := numbered("b", 0, 3)
	write(t, b, textB[:len(textB)-10]) // in the middle of the last line
	write(t, filepath.Join(dir, "a.log.gz"), "not for us\n")
	s := start(t, o)
	relay.awaitLine(linesA[len(linesA)-1])
	relay.awaitLine(linesB[1])
	linesC, textC := numbered("c", 0, 2)
	write(t, c, textC) // appears later
	relay.awaitLine(linesC[1])
	appendTo(t, b, textB[len(textB)-10:])
	moreA, textA := numbered("a", 1500, 1502)
	appendTo(t, a, textA)
	relay.awaitLine(moreA[1])
	relay.awaitLine(linesB[2])
	s.stopWell()

	if diff := cmp.Diff(append(linesA, moreA...), only(relay.lines(), `"a-`)); diff != "" {
		t.Errorf("a (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(linesB, only(relay.lines(), `"b-`)); diff != "" {
		t.Errorf("b (-want +got):\n%s", diff)
	}
	if n := len(relay.lines()); n != 1507 {
		t.Errorf("%d lines, want 1507", n)
	}
	if warning := "no readable, uncompressed file matches yet"; strings.Count(log.String(), "WARN") != 1 || !strings.Contains(log.String(), warning) {
		t.Errorf("log: %s", log)
	}
}

func TestRotation(t *testing.T) {
	for name, rotate := range map[string]func(t *testing.T, path, old string){
		"rename and create": func(t *testing.T, path, old string) {
			if err := os.Rename(path, old); err != nil {
				t.Fatal(err)
			}
		},
		"copy and truncate": func(t *testing.T, path, old string) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, old, string(text))
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, pattern := range []string{"restate.log", "restate.log*"} {
			t.Run(name+", "+pattern, func(t *testing.T) {
				relay := newRelay(t)
				o, _ := options(t, relay)
				path := filepath.Join(t.TempDir(), "restate.log")
				o.Files = []string{filepath.Join(filepath.Dir(path), pattern)}
				var want []string
				s := start(t, o)
				for n := range 3 {
					lines, text := numbered("line", n*100, n*100+100)
					appendTo(t, path, text)
					relay.awaitLine(lines[99])
					want = append(want, lines...)
					if name == "rename and create" { // more lines just before it; truncation would lose them
						lines, text = numbered("late", n*100, n*100+5)
						appendTo(t, path, text)
						want = append(want, lines...)
					}
					rotate(t, path, fmt.Sprintf("%s.%d", path, n))
				}
				lines, text := numbered("last", 0, 5)
				appendTo(t, path, text)
				want = append(want, lines...)
				relay.await("all lines", func() bool { return len(relay.entries) >= len(want) })
				s.stopWell()
				got := relay.lines()
				slices.Sort(want)
				slices.Sort(got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestRestartResumes(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	path := filepath.Join(t.TempDir(), "restate.log")
	o.Files = []string{path}
	var want []string
	for n := range 3 {
		lines, text := numbered("line", n*700, n*700+700)
		appendTo(t, path, text) // while nobody reads
		want = append(want, lines...)
		s := start(t, o)
		relay.awaitLine(want[len(want)-1])
		s.stopWell()
	}
	if diff := cmp.Diff(want, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestStartAtTheEnd(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	o.FromEnd = true
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	o.Files = []string{filepath.Join(dir, "*.log")}
	_, text := numbered("old", 0, 50)
	write(t, old, text)
	s := start(t, o)
	// Saved once the end of the old file was found.
	awaitFile(t, filepath.Join(o.StateDir, "knownFiles.checkpoint"), "first_bytes")
	lines, text := numbered("new", 0, 2)
	appendTo(t, old, text)
	more, text := numbered("fresh", 0, 2)
	write(t, fresh, text)
	relay.awaitLine(lines[1])
	relay.awaitLine(more[1])
	s.stopWell()
	if got := len(relay.lines()); got != 4 {
		t.Errorf("%d lines, want 4: %q", got, relay.lines())
	}
}

// The kubelet rotates a container's log, and has a link lead to another file when
// the container starts again.
func TestKubernetesLogs(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	root := t.TempDir()
	pod := filepath.Join(root, "pods", "shop_restate-0_8d7b9a4e-5f1c-4a1b-9a53-0f4f5e6d7c8b", "restate")
	links := filepath.Join(root, "containers")
	for _, dir := range []string{pod, links} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := func(n int) string {
		return filepath.Join(links, fmt.Sprintf("restate-0_shop_restate-%064x.log", n))
	}
	// Both: a file that is found twice is read once.
	o.Files = []string{filepath.Join(pod, "*.log*"), filepath.Join(links, "*.log")}
	s := start(t, o)
	var want []string
	second := 0
	more := func(path string) {
		lines, _ := numbered("line", second, second+50)
		var text strings.Builder
		for _, l := range lines { // in two parts each
			at := time.Date(2026, 11, 23, 5, 0, second, 0, time.UTC).Format(time.RFC3339Nano)
			fmt.Fprintf(&text, "%s stdout P %s\n%s stdout F %s\n", at, l[:20], at, l[20:])
			second++
		}
		appendTo(t, path, text.String())
		want = append(want, lines...)
	}
	for restart := range 2 {
		path := filepath.Join(pod, fmt.Sprintf("%d.log", restart))
		for rotation := range 3 {
			more(path)
			if rotation == 0 {
				if err := os.Symlink(path, link(restart)); err != nil {
					t.Fatal(err)
				}
			}
			relay.awaitLine(want[len(want)-1])
			more(path) // just before it is rotated
			if err := os.Rename(path, fmt.Sprintf("%s.20261123-05000%d", path, rotation)); err != nil {
				t.Fatal(err)
			}
		}
		more(path)
		if err := os.Remove(link(restart)); err != nil {
			t.Fatal(err)
		}
	}
	relay.await("all lines", func() bool { return len(relay.entries) >= len(want) })
	s.stopWell()
	got := relay.lines()
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%.3000s", diff)
	}
	labels := `{kubernetes_container_name="restate", kubernetes_namespace_name="shop", kubernetes_pod_name="restate-0"}`
	if !relay.labels[labels] || len(relay.labels) != 1 {
		t.Errorf("labels %v", relay.labels)
	}
}

// awaitFile polls, since nothing announces a saved file.
func awaitFile(t *testing.T, path, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		if got, _ := os.ReadFile(path); strings.Contains(string(got), text) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s never held %q", path, text)
		}
	}
}

// Whenever ship is stopped while the relay is away or refuses it, the next
// start delivers what is missing, in order.
func TestNothingIsLostWhileTheRelayIsAway(t *testing.T) {
	for _, status := range []int{503, 403} {
		for _, before := range []int{0, 1, 2500} { // lines acknowledged before
			t.Run(fmt.Sprintf("%d after %d", status, before), func(t *testing.T) {
				relay := newRelay(t)
				o, _ := options(t, relay)
				o.Grace = 20 * time.Millisecond
				path := filepath.Join(t.TempDir(), "restate.log")
				o.Files = []string{path}
				want, text := numbered("line", 0, before+5000)
				relay.behave(func(w http.ResponseWriter, _ *http.Request, _ []push.Entry) bool {
					down := len(relay.entries) >= before
					if down {
						http.Error(w, "away", status)
					}
					return down
				})
				write(t, path, text)
				s := start(t, o)
				relay.await("a failed push", func() bool { return relay.tries > len(relay.batches) })
				if err := s.stop(); !strings.Contains(errText(err), "will be sent at the next start") {
					t.Errorf("stop: %v", err)
				}
				relay.behave(nil)
				s = start(t, o)
				relay.awaitLine(want[len(want)-1])
				s.stopWell()
				if diff := cmp.Diff(want, withoutRepeats(relay.lines())); diff != "" {
					t.Errorf("lines (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// Files are read on while the relay is away, so that they may go meanwhile.
func TestFilesMayGoWhileTheRelayIsAway(t *testing.T) {
	relay := newRelay(t)
	relay.behave(failWith(503))
	o, _ := options(t, relay)
	path := filepath.Join(t.TempDir(), "restate.log")
	o.Files = []string{path}
	s := start(t, o)
	var want []string
	for n := range 3 { // the length tells them apart
		lines, text := numbered("line", n*3000, n*3000+3000-n)
		want = append(want, lines...)
		write(t, path, text)
		awaitFile(t, filepath.Join(o.StateDir, "knownFiles.checkpoint"), fmt.Sprintf(`"Offset":%d,`, len(text)))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	relay.behave(nil)
	relay.awaitLine(want[len(want)-1])
	s.stopWell()
	if diff := cmp.Diff(want, withoutRepeats(relay.lines())); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func withoutRepeats(lines []string) (once []string) {
	seen := map[string]bool{}
	for _, l := range lines {
		if !seen[l] {
			once = append(once, l)
		}
		seen[l] = true
	}
	return once
}

func TestStateDirectoryIsUsedByOne(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	o.Files = []string{filepath.Join(t.TempDir(), "restate.log")}
	lines, text := numbered("line", 0, 1)
	write(t, o.Files[0], text)
	s := start(t, o)
	relay.awaitLine(lines[0])
	if _, err := Run(t.Context(), o); !strings.Contains(errText(err), "--state-dir") {
		t.Errorf("second: %v", err)
	}
	s.stopWell()
}
