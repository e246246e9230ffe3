package invocation

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/correlate"
)

// withAttempt is a world with an invocation that has one line and one attempt, which
// change makes odd.
func withAttempt(change func(ptrace.Span)) (*world, correlate.InvocationID) {
	w, id := newWorld(), invocationID(7)
	at := time.Unix(1_700_000_000, 0)
	w.log(`{tenant="acme"}`, at, "a line of "+id.String(), nil)
	s := w.traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	s.SetTraceID(pcommon.TraceID{1})
	s.SetSpanID(pcommon.SpanID{1})
	s.SetName("invocation-attempt x")
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(at))
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Second)))
	s.Attributes().PutStr(idAttribute, id.String())
	change(s)
	w.now = at.Add(time.Minute)
	return w, id
}

// Numbers that JSON doesn't have are text.
func TestNumbersThatAreNone(t *testing.T) {
	w, id := withAttempt(func(s ptrace.Span) {
		s.Attributes().PutDouble("nan", math.NaN())
		s.Attributes().PutDouble("half", 0.5)
		s.Attributes().PutEmptySlice("list").AppendEmpty().SetDouble(math.Inf(-1))
		s.Attributes().PutEmptyMap("map").PutDouble("inf", math.Inf(1))
		s.Events().AppendEmpty().Attributes().PutDouble("nan", math.NaN())
	})
	f := newFixture(t, map[string]*world{acme: w})
	path := base + "/" + id.String() + "/timeline"
	want := map[string]any{
		idAttribute: id.String(), "nan": "NaN", "half": 0.5, "list": []any{"-Inf"}, "map": map[string]any{"inf": "+Inf"},
	}
	streamed, _ := readStream(t, f.get(t, acme, path, "Accept", ndjson))
	for _, events := range [][]Event{decode[Timeline](t, f.get(t, acme, path)).Events, streamed} {
		if len(events) != 2 {
			t.Fatalf("%d events", len(events))
		}
		if diff := cmp.Diff(want, events[0].Span.Attributes); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := events[0].Span.Events[0].Attributes["nan"]; got != "NaN" {
			t.Errorf("the event has %v", got)
		}
	}
}

// A span's times may be anything. They hide neither it nor the lines, nor make Loki
// be asked without end, and pages go on behind it.
func TestTimesThatAreNone(t *testing.T) {
	for name, times := range map[string][2]uint64{
		"in 1970":             {0, 1_700_000_001e9},
		"only in 1970":        {0, 0},
		"in 2262":             {1_700_000_000e9, math.MaxInt64},
		"only in 2262":        {math.MaxInt64, math.MaxInt64},
		"later":               {1_700_000_000e9, math.MaxUint64},
		"only later":          {math.MaxUint64, math.MaxUint64},
		"later than that end": {math.MaxInt64 + 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w, id := withAttempt(func(s ptrace.Span) {
				s.SetStartTimestamp(pcommon.Timestamp(times[0]))
				s.SetEndTimestamp(pcommon.Timestamp(times[1]))
			})
			f := newFixture(t, map[string]*world{acme: w})
			tempo := f.tempo.answer
			f.tempo.answer = func(tenant string, r *http.Request) (int, []byte) {
				if err := checkRange(r.URL.Query()); err != nil {
					t.Error(err)
				}
				return tempo(tenant, r)
			}
			path := base + "/" + id.String() + "/timeline"
			streamed, _ := readStream(t, f.get(t, acme, path, "Accept", ndjson))
			if got := strings.Join(kinds(streamed), " "); got != "log span" && got != "span log" {
				t.Errorf("streamed: %s", got)
			}
			if f.loki.asked > 20 {
				t.Errorf("Loki was asked %d times", f.loki.asked)
			}
			if diff := cmp.Diff(names(streamed), names(f.readPages(t, path+"?", 1, func() {}))); diff != "" {
				t.Errorf("pages differ: %s", diff)
			}
		})
	}
}

func kinds(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Kind)
	}
	return all
}

// checkRange refuses what Tempo does.
func checkRange(q url.Values) error {
	start, errStart := strconv.ParseInt(q.Get("start"), 10, 64)
	end, errEnd := strconv.ParseInt(q.Get("end"), 10, 64)
	if errStart != nil || errEnd != nil || start < 0 || end <= start {
		return fmt.Errorf("Tempo was asked from %s to %s", q.Get("start"), q.Get("end"))
	}
	return nil
}
