package invocation

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/correlate"
)

// lineWriter hands each line that was flushed on.
type lineWriter struct {
	header http.Header
	pw     *io.PipeWriter
}

func (w *lineWriter) Header() http.Header         { return w.header }
func (w *lineWriter) WriteHeader(int)             {}
func (w *lineWriter) Write(b []byte) (int, error) { return w.pw.Write(b) }
func (w *lineWriter) Flush()                      {}

// following is a client that follows an invocation.
type following struct {
	cancel context.CancelFunc
	done   chan error
	mu     sync.Mutex
	body   []byte
}

func (f *fixture) followed(t *testing.T, id correlate.InvocationID) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/?follow=true", nil)
	r.Header.Set("Accept", ndjson)
	r.SetPathValue("id", id.String())
	pr, pw := io.Pipe()
	c := &following{cancel: cancel, done: make(chan error, 1)}
	go func() {
		err := f.Timeline(&lineWriter{http.Header{}, pw}, r, acme)
		_ = pw.Close()
		c.done <- err
	}()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := pr.Read(buf)
			c.mu.Lock()
			c.body = append(c.body, buf[:n]...)
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return c
}

// told is what came until now.
func (c *following) told(t *testing.T) (events []string, ended bool) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for line := range slices.Values(splitLines(c.body)) {
		if len(line) == 0 {
			continue
		}
		e, end := readLine(t, line)
		switch {
		case end != nil:
			ended = true
		case e.Span != nil:
			events = append(events, e.Span.Name)
		default:
			events = append(events, e.Log.Line)
		}
	}
	return events, ended
}

func splitLines(b []byte) (lines [][]byte) {
	for start, i := 0, 0; i < len(b); i++ {
		if b[i] == '\n' {
			lines = append(lines, b[start:i])
			start = i + 1
		}
	}
	return lines
}

// happen adds a span of an invocation to the world and the index.
func (f *fixture) happen(t *testing.T, id correlate.InvocationID, name string, began time.Duration, attrs ...string) {
	t.Helper()
	w := f.worlds[acme]
	w.mu.Lock()
	s := w.traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	s.SetTraceID(pcommon.TraceID{1})
	s.SetSpanID(pcommon.SpanID(spanID(w.traces.SpanCount() + 1)))
	s.SetName(name)
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(-began)))
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	s.Attributes().PutStr(idAttribute, id.String())
	for i := 0; i < len(attrs); i += 2 {
		s.Attributes().PutStr(attrs[i], attrs[i+1])
	}
	s.Status().SetCode(ptrace.StatusCodeError) // an attempt that isn't the last
	w.mu.Unlock()
	f.learn(t, acme, w)
}

func (f *fixture) say(id correlate.InvocationID, text string, ago time.Duration) string {
	line := fmt.Sprintf("%s %s", text, id)
	f.worlds[acme].log(`{tenant="acme"}`, time.Now().Add(-ago), line, nil)
	return line
}

// after moves the bubble's clock.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func expectTold(t *testing.T, c *following, want []string, ended bool) {
	t.Helper()
	got, gotEnd := c.told(t)
	if !slices.Equal(got, want) || gotEnd != ended {
		t.Errorf("told %q (ended: %v), want %q (%v)", got, gotEnd, want, ended)
	}
}

func newFollowFixture(t *testing.T) *fixture {
	f := newFixture(t, map[string]*world{acme: newWorld()})
	f.opts.Now = time.Now
	return f
}

// A client that follows is told of everything once, as it happens, until some
// seconds after the end.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, id := newFollowFixture(t), invocationID(3)
		f.happen(t, id, "invocation-start x", 0)
		c := f.followed(t, id)
		synctest.Wait()
		want := []string{"invocation-start x"}
		expectTold(t, c, want, false)

		want = append(want, f.say(id, "one", 0))
		after(1500 * time.Millisecond)
		expectTold(t, c, want, false)
		f.happen(t, id, "invocation-attempt x", time.Second) // began before the line
		want = append(want, "invocation-attempt x")
		after(time.Second)
		expectTold(t, c, want, false)

		after(time.Hour) // nothing happens
		expectTold(t, c, want, false)
		late := f.say(id, "late", 10*time.Minute)
		f.happen(t, id, "invocation-end x", 0, "restate.invocation.result", "success")
		want = append(want, "invocation-end x")
		after(2 * time.Second)
		expectTold(t, c, want, false)
		want = append(want, f.say(id, "after the end", 0))
		after(2 * time.Second)
		expectTold(t, c, want, false)
		after(followSettle)
		expectTold(t, c, append(want, late), true)
		if err := <-c.done; err != nil {
			t.Error(err)
		}
	})
}

func TestFollowWhatEndedLongAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, id := newFollowFixture(t), invocationID(3)
		f.happen(t, id, "invocation-end x", 0, "restate.invocation.result", "success")
		after(time.Hour)
		c := f.followed(t, id)
		synctest.Wait()
		expectTold(t, c, []string{"invocation-end x"}, true)
		<-c.done
	})
}

func TestFollowUntilTheClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, id := newFollowFixture(t), invocationID(3)
		f.happen(t, id, "invocation-start x", 0)
		c := f.followed(t, id)
		after(5 * time.Second)
		c.cancel()
		if err := <-c.done; err != nil {
			t.Error(err)
		}
		expectTold(t, c, []string{"invocation-start x"}, false)
	})
}

// Engines and the index may be away for a while.
func TestFollowThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, id := newFollowFixture(t), invocationID(3)
		f.happen(t, id, "invocation-start x", 0)
		c := f.followed(t, id)
		synctest.Wait()
		for _, e := range []*fakeEngine{f.loki, f.tempo} {
			e.mu.Lock()
			e.err = errDown
			e.mu.Unlock()
		}
		line := f.say(id, "meanwhile", 0)
		f.happen(t, id, "invocation-end x", 0, "restate.invocation.result", "success")
		after(30 * time.Second)
		expectTold(t, c, []string{"invocation-start x"}, false)
		for _, e := range []*fakeEngine{f.loki, f.tempo} {
			e.mu.Lock()
			e.err = nil
			e.mu.Unlock()
		}
		after(2 * time.Second)
		expectTold(t, c, []string{"invocation-start x", "invocation-end x", line}, true)
		<-c.done
	})
}

func TestFollowWhatIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, id := newFollowFixture(t), invocationID(3)
		f.happen(t, id, "invocation-start x", 0)
		c := f.followed(t, id)
		after(2 * time.Hour) // longer than the index's retention
		expectTold(t, c, []string{"invocation-start x"}, false)
		if err := f.index.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		after(2 * time.Second)
		expectTold(t, c, []string{"invocation-start x"}, true)
		<-c.done
	})
}

// Proxies cut connections on which nothing comes.
func TestFollowKeepsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, id := newFollowFixture(t), invocationID(3)
		f.happen(t, id, "invocation-start x", 0)
		c := f.followed(t, id)
		empty := func() (n int) {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, line := range splitLines(c.body) {
				if len(line) == 0 {
					n++
				}
			}
			return n
		}
		after(followQuiet - time.Second)
		if n := empty(); n != 0 {
			t.Errorf("%d empty lines at first", n)
		}
		after(4 * followQuiet)
		if n := empty(); n != 4 {
			t.Errorf("%d empty lines in four times as long", n)
		}
		c.cancel()
		<-c.done
	})
}
