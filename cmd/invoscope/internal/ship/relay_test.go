package ship

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(asJournalctl); file != "" {
		os.Exit(journalctl(file, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

const testToken = "secret-token"

// fakeRelay acknowledges and keeps what is pushed, or answers as told.
type fakeRelay struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	answer  func(w http.ResponseWriter, r *http.Request, lines []push.Entry) bool // true if it answered
	entries []push.Entry
	labels  map[string]bool
	batches []int
	tries   int
	changed chan struct{} // closed and replaced when something was pushed
}

func newRelay(t *testing.T) *fakeRelay {
	f := &fakeRelay{t: t, labels: map[string]bool{}, changed: make(chan struct{})}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeRelay) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	raw, err := s2.Decode(nil, body)
	var req push.PushRequest
	if err == nil {
		err = req.Unmarshal(raw)
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != pushPath || r.Header.Get("Content-Type") != "application/x-protobuf" {
		f.t.Errorf("bad push: %s %s %v: %v", r.Method, r.URL, r.Header, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries++
	defer func() {
		close(f.changed)
		f.changed = make(chan struct{})
	}()
	for _, s := range req.Streams {
		if f.answer != nil && f.answer(w, r, s.Entries) {
			return
		}
		f.labels[s.Labels] = true
		f.entries = append(f.entries, s.Entries...)
		f.batches = append(f.batches, len(s.Entries))
	}
	w.WriteHeader(http.StatusNoContent)
}

// restart has every request answered, those of clients that went away too, and goes on
// at the same address.
func (f *fakeRelay) restart() {
	f.t.Helper()
	addr := f.Listener.Addr().String()
	f.Close()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.Server = &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(f.serve)}}
	f.Start()
	f.t.Cleanup(f.Close)
}

// behave changes what the relay answers.
func (f *fakeRelay) behave(answer func(http.ResponseWriter, *http.Request, []push.Entry) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// failWith makes an answer for behave.
func failWith(status int) func(http.ResponseWriter, *http.Request, []push.Entry) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ []push.Entry) bool {
		http.Error(w, http.StatusText(status), status)
		return true
	}
}

func (f *fakeRelay) lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, e := range f.entries {
		lines = append(lines, e.Line)
	}
	return lines
}

// await blocks until ok, which sees the relay locked.
func (f *fakeRelay) await(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		f.mu.Lock()
		done, changed := ok(), f.changed
		f.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			lines := f.lines()
			f.t.Fatalf("waited in vain for %s; got %d lines, at the end %q", what, len(lines), lines[max(0, len(lines)-3):])
		}
	}
}

// awaitLine blocks until a line was pushed.
func (f *fakeRelay) awaitLine(line string) {
	f.t.Helper()
	f.await("the line "+line, func() bool {
		for _, e := range f.entries {
			if e.Line == line {
				return true
			}
		}
		return false
	})
}

// logText is a log that tests can read.
type logText struct {
	mu      sync.Mutex
	text    strings.Builder
	changed sync.Cond
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.wake()
	return l.text.Write(p)
}

func (l *logText) wake() {
	if l.changed.L != nil {
		l.changed.Broadcast()
	}
}

// await blocks until the log says something.
func (l *logText) await(t *testing.T, what string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed.L = &l.mu
	late := false
	timer := time.AfterFunc(30*time.Second, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		late = true
		l.changed.Broadcast()
	})
	defer timer.Stop()
	for !strings.Contains(l.text.String(), what) {
		if late {
			t.Fatalf("waited in vain for %q in the log: %s", what, l.text.String())
		}
		l.changed.Wait()
	}
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// options ship to f with a token, and log to the returned text.
func options(t *testing.T, f *fakeRelay) (Options, *logText) {
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, testToken+"\n")
	text := &logText{}
	return Options{
		URL:       f.URL,
		TokenFile: path,
		StateDir:  filepath.Join(t.TempDir(), "ship"),
		Log:       slog.New(slog.NewTextHandler(text, nil)),
	}, text
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
