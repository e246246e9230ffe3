package ship

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// asJournalctl has the test binary act as journalctl: it prints the entries of a
// file that come behind a cursor, and follows it until it is told to end.
const asJournalctl = "INVOSCOPE_TEST_JOURNALCTL"

func journalctl(file string, args []string) int {
	for _, want := range []string{"--output=json", "--all", "--follow", "--unit=restate.service"} {
		if !slices.Contains(args, want) {
			fmt.Fprintf(os.Stderr, "without %s\n", want)
			return 1
		}
	}
	after := ""
	for _, a := range args {
		if cursor, ok := strings.CutPrefix(a, "--after-cursor="); ok {
			after = cursor
		}
	}
	f, err := os.Open(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	tick := time.NewTicker(5 * time.Millisecond) // nothing announces what is appended
	defer tick.Stop()
	skip := after != ""
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		switch {
		case err == nil && !skip:
			_, _ = os.Stdout.WriteString(line)
			continue
		case err == nil:
			skip = !strings.Contains(line, `"`+after+`"`)
			continue
		}
		select {
		case <-ctx.Done():
			return 0
		case <-tick.C:
		}
	}
}

func entries(from, to int) (lines []string, text string) {
	var b strings.Builder
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf("line %d", i))
		fmt.Fprintf(&b, `{"__CURSOR":"c%d","__REALTIME_TIMESTAMP":"%d","_SYSTEMD_UNIT":"restate.service","MESSAGE":"line %[1]d"}`+"\n", i, 1795563312000000+i)
	}
	return lines, b.String()
}

func journalOptions(t *testing.T, relay *fakeRelay) (Options, string) {
	file := filepath.Join(t.TempDir(), "journal")
	t.Setenv(asJournalctl, file)
	o, _ := options(t, relay)
	o.Journal = &Journal{Units: []string{"restate.service"}, Program: os.Args[0]}
	return o, file
}

func TestJournalIsResumed(t *testing.T) {
	relay := newRelay(t)
	o, file := journalOptions(t, relay)
	var want []string
	for n := range 3 {
		lines, text := entries(n*1500, n*1500+1500)
		appendTo(t, file, text)
		want = append(want, lines...)
		s := start(t, o)
		relay.awaitLine(want[len(want)-1])
		s.stopWell()
	}
	if diff := cmp.Diff(want, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%.3000s", diff)
	}
	if !relay.labels[`{kubernetes_container_name="restate", unit="restate.service"}`] || len(relay.labels) != 1 {
		t.Errorf("labels %v", relay.labels)
	}
}

// While the relay is away the journal is read on, and nothing comes twice.
func TestJournalWhileTheRelayIsAway(t *testing.T) {
	relay := newRelay(t)
	relay.behave(failWith(503))
	o, file := journalOptions(t, relay)
	o.Grace = 20 * time.Millisecond
	want, text := entries(0, 5000)
	write(t, file, text)
	s := start(t, o)
	awaitFile(t, filepath.Join(o.StateDir, "journal.cursor"), "c")
	if err := s.stop(); !strings.Contains(errText(err), "will be sent at the next start") {
		t.Errorf("stop: %v", err)
	}
	relay.behave(nil)
	o.Grace = 0
	s = start(t, o)
	relay.awaitLine(want[len(want)-1])
	s.stopWell()
	if diff := cmp.Diff(want, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%.3000s", diff)
	}
}

func TestJournalctlFails(t *testing.T) {
	relay := newRelay(t)
	for name, tt := range map[string]struct {
		spoil func(*Options)
		want  string
	}{
		"at once":  {func(o *Options) { o.Journal.Units = nil }, "journalctl ended by itself: exit status 1: without --unit"},
		"no such":  {func(o *Options) { o.Journal.Program = "/nonexistent/journalctl" }, "follow the journal"},
		"no state": {func(o *Options) { _ = os.MkdirAll(filepath.Join(o.StateDir, "journal.cursor"), 0o700) }, "resume the journal"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := journalOptions(t, relay)
			tt.spoil(&o)
			if _, err := Run(t.Context(), o); !strings.Contains(errText(err), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestJournalctlArguments(t *testing.T) {
	j := Journal{Units: []string{"a", "b"}, Directory: "/d"}
	for _, tt := range []struct {
		cursor  string
		fromEnd bool
		want    string
	}{
		{"", false, "--no-tail"},
		{"", true, "--lines=0"},
		{"c", true, "--no-tail --after-cursor=c"},
	} {
		want := "--output=json --all --follow " + tt.want + " --directory=/d --unit=a --unit=b"
		if got := strings.Join(j.args(tt.cursor, tt.fromEnd), " "); got != want {
			t.Errorf("%q, %t: %s, want %s", tt.cursor, tt.fromEnd, got, want)
		}
	}
}

// A ship that is killed while a record of the journal waits reads it again whole, also
// if its first line came in parts.
func TestKilledWhileARecordOfTheJournalWaits(t *testing.T) {
	relay := newRelay(t)
	o, file := journalOptions(t, relay)
	o.MultilineWait = time.Hour
	n := 0
	entry := func(stream, more, text string) string {
		n++
		return fmt.Sprintf(`{"__CURSOR":"c%d","__REALTIME_TIMESTAMP":"%d","_SYSTEMD_UNIT":"restate.service","_STREAM_ID":%q,%s"MESSAGE":%q}`+"\n", n, 1795563312000000+n, stream, more, text)
	}
	write(t, file, entry("a", "", server)+entry("a", "", server)+entry("a", `"_LINE_BREAK":"line-max",`, failure[:30])+entry("b", "", recovered)+entry("a", "", failure[30:])+entry("a", "", cause))
	s := start(t, o)
	relay.awaitLine(server)
	saved := filepath.Join(o.StateDir, "journal.cursor")
	// It is saved at the first entry, and then at most once a second.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		raw, _ := os.ReadFile(saved)
		if string(raw) != "" && string(raw) != "c1" {
			if string(raw) != "c2" {
				t.Fatalf("cursor %s, want c2", raw)
			}
			break
		}
		appendTo(t, file, entry("c", "", server))
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no cursor is ever saved")
		}
	}
	again := newRelay(t)
	o2, _ := options(t, again)
	o2.MultilineWait, o2.Journal = time.Hour, o.Journal
	if err := os.MkdirAll(o2.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(o2.StateDir, "journal.cursor"), "c2")
	appendTo(t, file, entry("a", "", trace)+entry("a", "", server)+entry("b", "", trace))
	s2 := start(t, o2)
	again.awaitLine(failure + "\n" + cause + "\n" + trace)
	s2.stopWell()
	again.awaitLine(recovered + "\n" + trace)
	s.stopWell()
	relay.awaitLine(recovered + "\n" + trace)
}
