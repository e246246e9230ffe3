package invocation

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// discard is a ResponseWriter for benchmarks.
type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(b []byte) (int, error) { d.n += len(b); return len(b), nil }
func (d *discard) Flush()                      {}

// benchWorld is one invocation with so many spans, and as many lines.
func benchWorld(b *testing.B, n int) (*fixture, string) {
	b.Helper()
	w, id := newWorld(), invocationID(7)
	start := time.Unix(1_700_000_000, 0)
	spans := w.traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for i := range n {
		s := spans.AppendEmpty()
		s.SetTraceID(pcommon.TraceID{1})
		s.SetSpanID(pcommon.SpanID(spanID(i + 1)))
		s.SetName("run (step)")
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(start.Add(time.Duration(i) * time.Millisecond)))
		s.SetEndTimestamp(s.StartTimestamp())
		s.Attributes().PutStr("rpc.service", "Greeter")
		if i == 0 {
			s.SetName("invocation-attempt Greeter/greet")
			s.Attributes().PutStr(idAttribute, id.String())
		} else {
			s.SetParentSpanID(pcommon.SpanID(spanID(1 + i/2)))
		}
		w.log(`{tenant="acme"}`, start.Add(time.Duration(i)*time.Millisecond+1), fmt.Sprintf(`{"level":"DEBUG","fields":{"message":"line %d"},"span":{"restate.invocation.id":"%s"}}`, i, id), nil)
	}
	w.now = start.Add(time.Hour)
	f := newFixture(b, map[string]*world{acme: w})
	// The engines' own time isn't ours.
	f.tempo.answer = remembered(f.tempo.answer)
	f.loki.answer = remembered(f.loki.answer)
	return f, id.String()
}

// remembered answers what was asked before from memory.
func remembered(answer func(string, *http.Request) (int, []byte)) func(string, *http.Request) (int, []byte) {
	known := map[string][]byte{}
	return func(tenant string, r *http.Request) (int, []byte) {
		body, ok := known[r.URL.String()]
		if !ok {
			_, body = answer(tenant, r)
			known[r.URL.String()] = body
		}
		return http.StatusOK, body
	}
}

// BenchmarkTimeline assembles a whole timeline and writes it, without the engines'
// time.
func BenchmarkTimeline(b *testing.B) {
	for _, n := range []int{10, 1000, 20_000} {
		for _, accept := range []string{"application/json", ndjson} {
			b.Run(fmt.Sprintf("%s/%d+%d", map[string]string{ndjson: "stream"}[accept]+map[string]string{"application/json": "page"}[accept], n, n), func(b *testing.B) {
				f, id := benchWorld(b, n)
				b.ReportAllocs()
				var d discard
				for b.Loop() {
					r := httptest.NewRequest(http.MethodGet, "/?limit=5000", nil)
					if accept == ndjson {
						r = httptest.NewRequest(http.MethodGet, "/", nil)
					}
					r.Header.Set("Accept", accept)
					r.SetPathValue("id", id)
					d = discard{header: http.Header{}}
					if err := f.Timeline(&d, r, acme); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(d.n), "answer-bytes")
			})
		}
	}
}

// BenchmarkOwners says whose 50,000 spans are.
func BenchmarkOwners(b *testing.B) {
	tr := trace{spans: make([]span, maxSpans)}
	for i := range tr.spans {
		tr.spans[i] = span{id: spanID(i + 1), parent: spanID((i + 1) / 2)}
	}
	tr.spans[0].named = invocationID(1)
	b.ReportAllocs()
	for b.Loop() {
		tr.assign(nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/maxSpans, "ns/span")
}
