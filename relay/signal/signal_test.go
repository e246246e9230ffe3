package signal

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// form is what both signals have.
type form interface {
	Join(bodies [][]byte) []byte
	Split(body []byte) (first, second []byte, ok bool)
}

// logs encodes a request with a stream for each list of lines.
func logs(t testing.TB, streams ...[]string) []byte {
	t.Helper()
	var req push.PushRequest
	for i, lines := range streams {
		s := push.Stream{Labels: fmt.Sprintf(`{stream="%d"}`, i)}
		for j, line := range lines {
			s.Entries = append(s.Entries, push.Entry{Timestamp: time.Unix(1, int64(j)), Line: line})
		}
		req.Streams = append(req.Streams, s)
	}
	body, err := encodeLogs(&req)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// lines are a request's lines, each behind its stream's labels.
func lines(t testing.TB, body []byte) []string {
	t.Helper()
	req, err := decodeLogs(body)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range req.Streams {
		for _, e := range s.Entries {
			all = append(all, s.Labels+" "+e.Line)
		}
	}
	return all
}

// spans encodes a request with a resource for each list of span names.
func spans(t testing.TB, resources ...[]string) []byte {
	t.Helper()
	traces := ptrace.NewTraces()
	for i, names := range resources {
		rs := traces.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutInt("resource", int64(i))
		ss := rs.ScopeSpans().AppendEmpty()
		for _, name := range names {
			span := ss.Spans().AppendEmpty()
			span.SetName(name)
			span.SetTraceID(pcommon.TraceID{1})
		}
	}
	body, err := encoder.MarshalTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// names are a request's span names, each behind its resource.
func names(t testing.TB, body []byte) []string {
	t.Helper()
	traces, err := decodeTraces(body)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, rs := range traces.ResourceSpans().All() {
		of, _ := rs.Resource().Attributes().Get("resource")
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				all = append(all, of.AsString()+" "+span.Name())
			}
		}
	}
	return all
}

func TestJoinedRequestsAreReadAsOne(t *testing.T) {
	long := strings.Repeat("the same again ", 5000) // what refers backwards within its own block
	bodies := [][]byte{logs(t, []string{"a", long}), logs(t, []string{"b"}, []string{"c", long}), logs(t, []string{long})}
	var want []string
	for _, b := range bodies {
		want = append(want, lines(t, b)...)
	}
	if got := lines(t, Logs{}.Join(bodies)); !slices.Equal(got, want) {
		t.Errorf("%d lines of %d, or others", len(got), len(want))
	}
	traces := [][]byte{spans(t, []string{"a", "b"}), spans(t, []string{"c"}, []string{"d"})}
	if got, want := names(t, Traces{}.Join(traces)), []string{"0 a", "0 b", "0 c", "1 d"}; !slices.Equal(got, want) {
		t.Errorf("spans %q, want %q", got, want)
	}
}

func TestSplitEndsAtSingleItems(t *testing.T) {
	for name, c := range map[string]struct {
		form form
		body []byte
		read func(testing.TB, []byte) []string
	}{
		"logs":   {Logs{}, logs(t, []string{"a", "b", "c"}, []string{"d"}, nil, []string{"e", "f", "g"}), lines},
		"traces": {Traces{}, spans(t, []string{"a"}, []string{"b", "c", "d", "e"}, nil, []string{"f", "g"}), names},
	} {
		t.Run(name, func(t *testing.T) {
			var singles []string
			var split func([]byte)
			split = func(body []byte) {
				items := c.read(t, body)
				first, second, ok := c.form.Split(body)
				if ok != (len(items) > 1) {
					t.Fatalf("%q can be split: %t", items, ok)
				}
				if !ok {
					singles = append(singles, items...)
					return
				}
				if n := len(c.read(t, first)); n != len(items)/2 {
					t.Errorf("the first half of %d items has %d", len(items), n)
				}
				split(first)
				split(second)
			}
			split(c.body)
			if want := c.read(t, c.body); !slices.Equal(singles, want) {
				t.Errorf("%q, want %q", singles, want)
			}
		})
	}
}

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	if err := (Logs{}).Print(&out, logs(t, []string{"a line"})); err != nil || out.String() != `1970-01-01T00:00:01Z {stream="0"} a line`+"\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	out.Reset()
	if err := (Traces{}).Print(&out, spans(t, []string{"a span"})); err != nil || !strings.Contains(out.String(), `"name":"a span"`) {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestWhatIsNoRequestIsNotSplit(t *testing.T) {
	for _, body := range [][]byte{nil, []byte("nonsense"), s2.EncodeSnappy(nil, []byte("nonsense"))} {
		if _, _, ok := (Logs{}).Split(body); ok {
			t.Errorf("%q as logs", body)
		}
		if _, _, ok := (Traces{}).Split(body); ok {
			t.Errorf("%q as traces", body)
		}
		if err := (Logs{}).Print(new(bytes.Buffer), body); err == nil && len(body) > 0 {
			t.Errorf("%q was printed as logs", body)
		}
	}
}

// What is joined is what is stored and sent: it must hold what its parts do.
func FuzzJoinLogs(f *testing.F) {
	f.Add("a", "b")
	f.Add(strings.Repeat("x", 70000), "")
	f.Fuzz(func(t *testing.T, a, b string) {
		parts := [][]byte{s2.EncodeSnappy(nil, []byte(a)), s2.EncodeSnappy(nil, []byte(b))}
		if got, err := s2.Decode(nil, Logs{}.Join(parts)); err != nil || string(got) != a+b {
			t.Errorf("%d and %d bytes joined give %d, %v", len(a), len(b), len(got), err)
		}
	})
}

func BenchmarkJoin(b *testing.B) {
	body := logs(b, slices.Repeat([]string{strings.Repeat("a line of a log ", 36)}, 10))
	bodies := slices.Repeat([][]byte{body}, 100)
	b.SetBytes(int64(100 * len(body)))
	b.ReportAllocs()
	for b.Loop() {
		Logs{}.Join(bodies)
	}
}
