package ship

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
)

// A server that writes into ship must not be held up while the relay is away,
// and what it wrote arrives in order, through restarts of ship.
func TestPipeIsReadWhileTheRelayIsAway(t *testing.T) {
	relay := newRelay(t)
	relay.behave(failWith(503))
	o, log := options(t, relay)
	o.Grace = 20 * time.Millisecond
	var want []string
	for n := range 3 {
		lines, text := numbered("line", n*20000, n*20000+20000)
		want = append(want, lines...)
		in, server := io.Pipe()
		o.Stdin = in
		s := start(t, o)
		if _, err := io.WriteString(server, text); err != nil { // returns when all of it was read
			t.Fatal(err)
		}
		relay.await("a try", func() bool { return relay.tries > n })
		s.end()
		server.Close()
		if err := <-s.done; !strings.Contains(errText(err), fmt.Sprintf("20000 entries are not acknowledged; they wait in %s", o.StateDir)) {
			t.Fatalf("stop: %v", err)
		}
	}
	relay.restart() // else what was cut off while it failed might still get in
	relay.behave(nil)
	o.Stdin, o.Grace = strings.NewReader(""), 0
	summary, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%.3000s", diff)
	}
	if want := (Summary{Earlier: 60000}); summary != want {
		t.Errorf("summary %+v, want %+v", summary, want)
	}
	if n := strings.Count(log.String(), "cannot reach"); n != 3 {
		t.Errorf("the outage is reported %d times in 3 runs: %s", n, log)
	}
}

// When the buffer is full, reading waits, which is said, and goes on. A relay that takes
// less than is read fills it again; that is said once for each half of a buffer that was
// delivered, not for each line that waits.
func TestFullBuffer(t *testing.T) {
	relay := newRelay(t)
	relay.behave(failWith(503))
	o, log := options(t, relay)
	o.Buffer = 2 * minBuffer
	in, server := io.Pipe()
	o.Stdin = in
	s := start(t, o)
	var want []string
	written := make(chan error, 1)
	for n := range 600 {
		want = append(want, noise(n, 64<<10))
	}
	go func() {
		_, err := io.WriteString(server, strings.Join(want, "\n"))
		server.Close()
		written <- err
	}()
	log.await(t, "the buffer is full")
	select {
	case err := <-written:
		t.Fatalf("more was read than fits (%v)", err)
	default:
	}
	relay.behave(nil)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}
	if got := relay.lines(); !cmp.Equal(want, got) {
		t.Errorf("%d lines, want %d, or another order", len(got), len(want))
	}
	most := len(want)*(64<<10)/minBuffer + 1
	for _, message := range []string{"the buffer is full", "has room again"} {
		if n := strings.Count(log.String(), message); n < 1 || n > most {
			t.Errorf("%q logged %d times, want 1 to %d: %s", message, n, most, log)
		}
	}
}

// Lines that fit nowhere when ship has to end are named.
func TestStopWithAFullBuffer(t *testing.T) {
	relay := newRelay(t)
	relay.behave(failWith(503))
	o, log := options(t, relay)
	o.Buffer, o.Grace = minBuffer, 20*time.Millisecond
	in, server := io.Pipe()
	o.Stdin = in
	s := start(t, o)
	go func() {
		for n := range 300 {
			if _, err := io.WriteString(server, noise(n, 64<<10)+"\n"); err != nil {
				return
			}
		}
	}()
	log.await(t, "the buffer is full")
	err := s.stop()
	for _, want := range []string{"will be sent at the next start", "did not fit into the buffer and are lost"} {
		if !strings.Contains(errText(err), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	in.Close()
}

// noise is n bytes that can't be compressed.
func noise(seed, n int) string {
	text := make([]byte, n)
	x := uint64(seed)
	for i := range text {
		x = x*6364136223846793005 + 1442695040888963407
		text[i] = ' ' + byte(x>>33%94)
	}
	return string(text)
}

func TestDefaultStateDirectoryIsShared(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	o.StateShared = true
	for range 2 { // the second leaves nothing behind by the first
		in, server := io.Pipe()
		first := o
		first.Stdin = in
		s := start(t, first)
		_, _ = io.WriteString(server, "a\n")
		relay.awaitLine("a")
		second := o
		second.Stdin = strings.NewReader("b\n")
		if _, err := Run(t.Context(), second); err != nil {
			t.Error(err)
		}
		server.Close()
		if err := <-s.done; err != nil {
			t.Error(err)
		}
	}
	for dir, want := range map[string]bool{o.StateDir: true, o.StateDir + "-2": true, o.StateDir + "-3": false} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s is there: %t", filepath.Base(dir), !want)
		}
	}
}

// A request that was delivered isn't sent again because a later one of the same
// record had to wait.
func TestRecordOfSeveralRequestsIsResumed(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	want, text := numbered("line", 0, 10000)
	o.Stdin = strings.NewReader(text)
	relay.behave(func(w http.ResponseWriter, _ *http.Request, _ []push.Entry) bool {
		if relay.tries%3 == 0 {
			http.Error(w, "now and then", http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%.3000s", diff)
	}
}

func TestOutageMessages(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var o outage
	for _, step := range []struct {
		name  string
		after time.Duration
		ok    bool
		want  bool // reported
	}{
		{"answers", 0, true, false},
		{"fails", time.Second, false, true},
		{"still fails", time.Hour, false, false},
		{"answers again", time.Second, true, true},
		{"answers", time.Second, true, false},
		{"fails soon", time.Second, false, false},
		{"answers", time.Second, true, false},
		{"fails soon", time.Second, false, false},
		{"fails for long", longOutage, false, true},
		{"answers again", time.Second, true, true},
		{"fails much later", quietAfter, false, true},
	} {
		now = now.Add(step.after)
		var got bool
		if step.ok {
			_, got = o.ends(now)
		} else {
			got = o.begins(now)
		}
		if got != step.want {
			t.Errorf("%s: reported %t, want %t", step.name, got, step.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	if v := verdict(&answer{status: 429, after: 40 * time.Second}); v.Permanent || v.RetryAfter != 40*time.Second {
		t.Errorf("Retry-After becomes %+v", v)
	}
	if v := verdict(context.DeadlineExceeded); v.Permanent || v.RetryAfter != 0 {
		t.Errorf("a timeout becomes %+v", v)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(header{session: 1, lines: 2, bytes: 300}.record([][]byte{[]byte("a"), {}}))
	f.Add(header{session: 1}.record(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, requests, err := parseRecord(raw)
		if err != nil {
			return
		}
		again, requests2, err := parseRecord(h.record(requests))
		if err != nil || again != h || !cmp.Equal(requests, requests2) {
			t.Fatalf("%v %q, again %v %q: %v", h, requests, again, requests2, err)
		}
	})
}
