package ship

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// newClient answers every request with a status and a Retry-After.
func newClient(answer func() (int, string)) *http.Client {
	return &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		status, after := answer()
		h := http.Header{}
		h.Set("Retry-After", after)
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("busy"))}, nil
	})}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		in, server := io.Pipe()
		p := &pusher{url: "http://relay", log: discard(), http: newClient(func() (int, string) { return 204, "" })}
		go func() {
			io.WriteString(server, strings.Repeat(strings.Repeat("a", 100)+"\n", 3000))
			time.Sleep(1500 * time.Millisecond)
			io.WriteString(server, "b\n")
			time.Sleep(time.Second)
			server.Close()
		}()
		if _, err := run(t.Context(), Options{Stdin: in, Progress: &screen, StateDir: t.TempDir(), Log: discard()}, &labeler{}, p); err != nil {
			t.Fatal(err)
		}
		want := clearLine + "3000 lines shipped, 3000 lines/s, 0.3 MB/s, 0 waiting\r" +
			clearLine + "3001 lines shipped, 1 lines/s, 0.0 MB/s, 0 waiting\r" + clearLine
		if got := screen.String(); got != want {
			t.Errorf("screen %q, want %q", got, want)
		}
	})
}

// BenchmarkShip ships a recorded server log, many times over, to a stub: what
// it measures is reading, dating, batching, encoding and buffering, without a
// network.
func BenchmarkShip(b *testing.B) {
	text := strings.Repeat(recording(b), 50)
	lines := strings.Count(text, "\n")
	p := &pusher{url: "http://relay", log: discard(), http: newClient(func() (int, string) { return 204, "" })}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	n := 0
	dir := b.TempDir()
	for b.Loop() {
		if _, err := run(b.Context(), Options{Stdin: strings.NewReader(text), StateDir: dir, Log: discard()}, &labeler{}, p); err != nil {
			b.Fatal(err)
		}
		n += lines
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}
