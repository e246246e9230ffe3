package ship

import (
	"bytes"
	"encoding/json"
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
		want := clearLine + "3000 entries shipped, 3000 entries/s, 0.3 MB/s, 0 waiting\r" +
			clearLine + "3001 entries shipped, 1 entries/s, 0.0 MB/s, 0 waiting\r" + clearLine
		if got := screen.String(); got != want {
			t.Errorf("screen %q, want %q", got, want)
		}
	})
}

// BenchmarkShip ships recorded logs, many times over, to a stub: what it measures is
// reading, joining, dating, batching, encoding and buffering, without a network.
func BenchmarkShip(b *testing.B) {
	for _, file := range []string{"restate-debug.jsonl", "restate-compact.log", "restate-pretty.log"} {
		for name, wait := range map[string]time.Duration{"joined": DefaultMultilineWait, "not joined": 0} {
			b.Run(file+"/"+name, func(b *testing.B) { benchmarkShip(b, recorded(b, file), wait) })
		}
	}
}

func benchmarkShip(b *testing.B, text string, wait time.Duration) {
	text = strings.Repeat(text, 30<<20/len(text))
	lines := strings.Count(text, "\n")
	p := &pusher{url: "http://relay", log: discard(), http: newClient(func() (int, string) { return 204, "" })}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	n := 0
	dir := b.TempDir()
	for b.Loop() {
		if _, err := run(b.Context(), Options{Stdin: strings.NewReader(text), StateDir: dir, MultilineWait: wait, Log: discard()}, &labeler{}, p); err != nil {
			b.Fatal(err)
		}
		n += lines
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkUnwrap takes a recorded server log out of each wrapping.
func BenchmarkUnwrap(b *testing.B) {
	l, err := newLabeler(nil)
	if err != nil {
		b.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(recording(b), "\n"), "\n")
	wrap := map[Format]func(string) string{
		FormatRaw: func(s string) string { return s },
		FormatCRI: func(s string) string { return "2026-10-06T00:17:09.669794202Z stdout F " + s },
		FormatDocker: func(s string) string {
			return `{"log":` + quote(s+"\n") + `,"stream":"stdout","time":"2026-10-06T00:17:09.669794202Z"}`
		},
		FormatJournald: func(s string) string {
			return `{"__CURSOR":"s=bb;i=1","__REALTIME_TIMESTAMP":"1795563312123456","_SYSTEMD_UNIT":"restate.service","MESSAGE":` + quote(s) + `}`
		},
	}
	for _, f := range []Format{FormatRaw, FormatCRI, FormatDocker, FormatJournald} {
		b.Run(string(f), func(b *testing.B) {
			var text strings.Builder
			for _, line := range lines {
				text.WriteString(wrap[f](line) + "\n")
			}
			u := &unwrapper{format: FormatAuto, from: l.source(nil), journal: newJournal(l, discard(), true)}
			u.joiner.add = func([]byte, time.Time, *source) error { return nil }
			u.joiner.wait = DefaultMultilineWait
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if err := readTokens(strings.NewReader(text.String()), u, func() {}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(lines))/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string can't fail
	return string(b)
}
