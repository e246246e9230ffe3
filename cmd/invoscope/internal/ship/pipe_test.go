package ship

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func recording(t testing.TB) string { return recorded(t, "restate-debug.jsonl") }

// recorded returns a recording of a real Restate.
func recorded(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash("../../../../testdata/restate/" + file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestStdinShipsEveryLine(t *testing.T) {
	relay := newRelay(t)
	o, log := options(t, relay)
	text := recording(t)
	o.Stdin, o.Labels = strings.NewReader(text), map[string]string{"cluster": `eu "1"`}

	summary, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if diff := cmp.Diff(want, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if n := int64(len(want)); summary != (Summary{Read: n, Acknowledged: n}) {
		t.Errorf("summary %+v, want %d lines", summary, n)
	}
	if !relay.labels[`{cluster="eu \"1\"", kubernetes_container_name="restate"}`] || len(relay.labels) != 1 {
		t.Errorf("labels %v", relay.labels)
	}
	for _, e := range relay.entries {
		_, rest, _ := strings.Cut(e.Line, `"timestamp":"`)
		stamp, _, _ := strings.Cut(rest, `"`)
		if at, err := time.Parse(time.RFC3339Nano, stamp); err != nil || !at.Equal(e.Timestamp) {
			t.Fatalf("entry time %v, want that of %s", e.Timestamp, e.Line)
		}
	}
	if !strings.Contains(log.String(), "shipping ended") || strings.Contains(log.String(), "WARN") {
		t.Errorf("log: %s", log)
	}
}

func TestStdinLineEndings(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	tests := []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"no last newline", "a\nb", []string{"a", "b"}},
		{"CRLF", "a\r\nb\r\nc\r", []string{"a", "b", "c"}},
		{"other bytes stay", " a\t\r\r\n\xff\x00b\n", []string{" a\t\r", "\xff\x00b"}},
		{"empty lines", "\n\na\n\n", []string{"", "", "a", ""}},
		{"as long as can be", long + "\r\n" + long + "\nb", []string{long, long, "b"}},
		{"too long", long + long + "yz\nb\n", []string{long, long, "yz", "b"}},
		{"too long by one, at the end", long + "y", []string{long, "y"}},
		{"cut between characters", long[1:] + "é!\n", []string{long[1:], "é!"}},
		{"too long and not UTF-8", long[1:] + "\x80\x80\x80\x80\x80\n", []string{long[2:], "x\x80\x80\x80\x80\x80"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			relay := newRelay(t)
			o, _ := options(t, relay)
			o.Stdin = strings.NewReader(tt.in)
			if _, err := Run(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, relay.lines()); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLinesWithoutTimeTakeThePrevious(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	began := time.Now()
	o.Stdin = strings.NewReader("banner\n" +
		`{"timestamp":"2026-01-02T03:04:05.000006Z","level":"WARN"}` + "\n  at a\n  at b\n" +
		`{"timestamp":"2026-01-02T03:04:06Z","level":"WARN"}` + "\n")
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	var got []time.Time
	for _, e := range relay.entries {
		got = append(got, e.Timestamp)
	}
	if got[0].Before(began) || got[0].After(time.Now()) {
		t.Errorf("banner at %v, want now", got[0])
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	// A nanosecond apart: Loki would drop one of two equal lines of one time.
	if diff := cmp.Diff([]time.Time{at, at.Add(1), at.Add(2), at.Add(time.Second - 6*time.Microsecond)}, got[1:]); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
}

func TestStdinErrorComesAfterItsLines(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	broken := errors.New("disk on fire")
	o.Stdin = io.MultiReader(strings.NewReader("a\nb\n"), errorReader{broken})
	if _, err := Run(t.Context(), o); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if diff := cmp.Diff([]string{"a", "b"}, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// After Ctrl-C in a pipeline, the server's last words still arrive.
func TestStdinIsReadOnAfterInterrupt(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	in, server := io.Pipe()
	o.Stdin = in
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		io.WriteString(server, "serving\n")
		interrupt()
		io.WriteString(server, "shut down\n")
		server.Close()
	}()
	if _, err := Run(ctx, o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"serving", "shut down"}, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestInterruptWithOpenStdin(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		want   string
	}{
		"delivered":   {204, ""},
		"undelivered": {503, "2 entries are not acknowledged"},
	} {
		t.Run(name, func(t *testing.T) {
			relay := newRelay(t)
			if test.status != 204 {
				relay.behave(failWith(test.status))
			}
			o, _ := options(t, relay)
			in, server := io.Pipe()
			defer server.Close()
			o.Stdin, o.Grace, o.MultilineWait = in, 20*time.Millisecond, time.Hour // b waits
			ctx, interrupt := context.WithCancel(t.Context())
			go func() {
				io.WriteString(server, "a\nb\n")
				relay.await("a push", func() bool { return relay.tries > 0 })
				interrupt()
			}()
			_, err := Run(ctx, o)
			if got := errText(err); (test.want == "") != (err == nil) || !strings.Contains(got, test.want) {
				t.Errorf("error %q, want %q", got, test.want)
			}
			if got := relay.lines(); test.want == "" && !cmp.Equal(got, []string{"a", "b"}) {
				t.Errorf("lines %q", got)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
