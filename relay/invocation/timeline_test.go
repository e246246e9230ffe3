package invocation

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/relay/engine"
)

// The checkout: Orders/checkout calls Orders/place, which calls two others.
const (
	checkout = "inv_1c6k3OBScIiE0dZqEGsisdozbL6NOzsxTe"
	place    = "inv_1jllpYOFZun65MHnoxYV9udjo1UEujsfSx"
	greeting = "inv_125GBc0YOwHg5gpRvQ4ESEIXUfA4z5hwl3"
	add      = "inv_1jJOFEtKQPi13ysQCo2rC8P4TLPPdFZVMR"
	// suspended is one that waits at the recording's end.
	suspended = "inv_15xgYxIgAP7T1RwNIWp3LIw6lzw74VZk0y"
)

// relations counts the spans of each invocation of a timeline, and what it is.
func relations(events []Event) map[string]int {
	got := map[string]int{}
	for _, e := range events {
		if e.Span != nil {
			got[e.Relation+" "+e.Invocation]++
		}
	}
	return got
}

func TestRelatives(t *testing.T) {
	f := newFixture(t, map[string]*world{acme: recorded(t)})
	tests := []struct {
		id, query string
		want      map[string]int
	}{
		{checkout, "", map[string]int{"self " + checkout: 4}},
		{checkout, "?relatives=callees", map[string]int{"self " + checkout: 4, "callee " + place: 3}},
		{checkout, "?relatives=callees&depth=8", map[string]int{"self " + checkout: 4, "callee " + place: 3, "callee " + greeting: 3, "callee " + add: 3}},
		{checkout, "?relatives=callers", map[string]int{"self " + checkout: 4}},
		{add, "?relatives=callers", map[string]int{"self " + add: 3, "caller " + place: 3}},
		{add, "?relatives=callers&depth=2", map[string]int{"self " + add: 3, "caller " + place: 3, "caller " + checkout: 4}},
		{place, "?relatives=callers,callees", map[string]int{"self " + place: 3, "caller " + checkout: 4, "callee " + greeting: 3, "callee " + add: 3}},
		{place, "?relatives=callers&relatives=callees", map[string]int{"self " + place: 3, "caller " + checkout: 4, "callee " + greeting: 3, "callee " + add: 3}},
	}
	for _, tt := range tests {
		t.Run(tt.id+tt.query, func(t *testing.T) {
			tl := decode[Timeline](t, f.get(t, acme, base+"/"+tt.id+"/timeline"+tt.query))
			if diff := cmp.Diff(tt.want, relations(tl.Events)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(tl.Gaps) > 0 {
				t.Errorf("gaps %q", tl.Gaps)
			}
		})
	}
}

// name tells events apart.
func name(e *Event) string {
	if e.Span != nil {
		return e.Span.TraceID + e.Span.SpanID
	}
	return fmt.Sprint(e.Time, e.Log.Labels, e.Log.Line)
}

func names(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, name(&e))
	}
	return all
}

// readPages follows the cursors; between pages it calls more.
func (f *fixture) readPages(t *testing.T, path string, limit int, more func()) (events []Event) {
	t.Helper()
	for cursor := ""; ; more() {
		page := decode[Timeline](t, f.get(t, acme, fmt.Sprintf("%s&limit=%d&cursor=%s", path, limit, url.QueryEscape(cursor))))
		events = append(events, page.Events...)
		if len(page.Events) > limit {
			t.Errorf("a page of %d events", len(page.Events))
		}
		if cursor = page.Next; cursor == "" {
			return events
		}
	}
}

func TestPagesAreTheTimeline(t *testing.T) {
	w := recorded(t)
	userService(w)
	f := newFixture(t, map[string]*world{acme: w})
	path := base + "/" + checkout + "/timeline?relatives=callers,callees&depth=8"
	whole := decode[Timeline](t, f.get(t, acme, path+"&limit=5000"))
	if len(whole.Events) < 60 || whole.Next != "" {
		t.Fatalf("%d events, next %q", len(whole.Events), whole.Next)
	}
	for _, limit := range []int{1, 2, 7, len(whole.Events), 5000} {
		if diff := cmp.Diff(names(whole.Events), names(f.readPages(t, path, limit, func() {}))); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
	}
}

// What arrives while the pages are read makes none of them repeat or leave out
// what was there.
func TestPagesWhileMoreArrives(t *testing.T) {
	w := recorded(t)
	f := newFixture(t, map[string]*world{acme: w})
	path := base + "/" + suspended + "/timeline?"
	before := decode[Timeline](t, f.get(t, acme, path))
	n := 0
	more := func() {
		for _, at := range []time.Time{before.Events[0].Time, before.Events[len(before.Events)/2].Time, before.Events[len(before.Events)-1].Time} {
			n++
			w.log(`{kubernetes_container_name="other", tenant="acme"}`, at, fmt.Sprintf("line %d of %s", n, suspended), nil)
			w.log(`{kubernetes_container_name="restate", tenant="acme"}`, at, fmt.Sprintf("line %d of %s", n, suspended), nil)
		}
	}
	seen := map[string]int{}
	events := f.readPages(t, path, 3, more)
	for _, e := range events {
		if seen[name(&e)]++; seen[name(&e)] > 1 {
			t.Errorf("twice: %s", name(&e))
		}
	}
	for _, e := range before.Events {
		if seen[name(&e)] != 1 {
			t.Errorf("left out: %s", name(&e))
		}
	}
	if len(events) <= len(before.Events) {
		t.Error("nothing new was told")
	}
}

// manyLines is a world with one invocation that has n lines, each so many times at
// one nanosecond.
func manyLines(t *testing.T, n, atOnce int) (*world, correlate.InvocationID) {
	t.Helper()
	w, id := newWorld(), invocationID(7)
	start := time.Unix(1_700_000_000, 0)
	for i := range n {
		w.log(`{tenant="acme"}`, start.Add(time.Duration(i/atOnce)), fmt.Sprintf("line %d of %s", i, id), nil)
	}
	w.now = start.Add(time.Minute)
	return w, id
}

// Lines come in batches that begin and end within one time.
func TestLinesOfManyBatches(t *testing.T) {
	for _, atOnce := range []int{1, 3, 600} {
		w, id := manyLines(t, 3500, atOnce)
		f := newFixture(t, map[string]*world{acme: w})
		events, end := readStream(t, f.get(t, acme, base+"/"+id.String()+"/timeline", "Accept", ndjson))
		if len(events) != 3500 {
			t.Fatalf("%d at once: %d events", atOnce, len(events))
		}
		for i, e := range events {
			if want := fmt.Sprintf("line %d of %s", i, id); e.Log.Line != want {
				t.Fatalf("%d at once: event %d is %q", atOnce, i, e.Log.Line)
			}
		}
		if slices.ContainsFunc(end.Gaps, func(g string) bool { return strings.HasPrefix(g, "lines") }) {
			t.Errorf("gaps %q", end.Gaps)
		}
		paged := f.readPages(t, base+"/"+id.String()+"/timeline?", 700, func() {})
		if diff := cmp.Diff(names(events), names(paged)); diff != "" {
			t.Errorf("%d at once: pages differ:\n%.1000s", atOnce, diff)
		}
	}
}

// More lines of one nanosecond than Loki tells are a gap.
func TestCrowdedLines(t *testing.T) {
	w, id := manyLines(t, 2500, 2000)
	f := newFixture(t, map[string]*world{acme: w})
	events, end := readStream(t, f.get(t, acme, base+"/"+id.String()+"/timeline", "Accept", "text/plain, "+ndjson+";q=0.9"))
	if len(events) != 1500 || !slices.ContainsFunc(end.Gaps, func(g string) bool { return strings.HasPrefix(g, "lines: there are more") }) {
		t.Errorf("%d events, gaps %q", len(events), end.Gaps)
	}
}

func readStream(t *testing.T, resp *http.Response) (events []Event, end End) {
	t.Helper()
	if got := resp.Header.Get("Content-Type"); got != ndjson || resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: %s", resp.Status, got, body)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	ended := false
	for lines.Scan() {
		if ended {
			t.Fatalf("a line after the end: %s", lines.Text())
		}
		event, isEnd := readLine(t, lines.Bytes())
		if ended = isEnd != nil; ended {
			end = *isEnd
		} else {
			events = append(events, event)
		}
	}
	if !ended {
		t.Error("the stream has no end")
	}
	return events, end
}

// readLine reads a line of a stream: an event or the end.
func readLine(t *testing.T, line []byte) (e Event, end *End) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if bytes.HasPrefix(line, []byte(`{"kind"`)) {
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		return e, nil
	}
	end = &End{}
	if err := dec.Decode(end); err != nil {
		t.Fatal(err)
	}
	return e, end
}

func TestStreamIsTheTimeline(t *testing.T) {
	f := newFixture(t, map[string]*world{acme: recorded(t)})
	path := base + "/" + checkout + "/timeline?relatives=callees"
	want := decode[Timeline](t, f.get(t, acme, path))
	events, end := readStream(t, f.get(t, acme, path, "Accept", ndjson))
	if diff := cmp.Diff(want, Timeline{events, end}); diff != "" {
		t.Error(diff)
	}
	first, end := readStream(t, f.get(t, acme, path+"&limit=10", "Accept", ndjson))
	rest, _ := readStream(t, f.get(t, acme, path+"&cursor="+end.Next, "Accept", ndjson))
	if diff := cmp.Diff(want.Events, slices.Concat(first, rest)); diff != "" || len(first) != 10 {
		t.Errorf("%d at first: %s", len(first), diff)
	}
}

var errDown = fmt.Errorf("dial: %w: secret address", engine.ErrUnavailable)

func TestEnginesThatAreAway(t *testing.T) {
	unsampled := "inv_12W0CEBesRZt5s1K5jg6lKFe1FWoNT09pm"
	tests := map[string]struct {
		loki, tempo error
		id          string
		status      int
		gap         string
	}{
		"Loki":                     {errDown, nil, checkout, 200, "lines: Loki can't be asked"},
		"Tempo":                    {nil, errDown, checkout, 200, "traces: Tempo can't be asked"},
		"both":                     {errDown, errDown, checkout, 503, ""},
		"Loki, where no spans are": {errDown, nil, unsampled, 503, ""},
	}
	for name, tt := range tests {
		for _, accept := range []string{"application/json", ndjson} {
			t.Run(name+" "+accept, func(t *testing.T) {
				f := newFixture(t, map[string]*world{acme: recorded(t)})
				f.loki.err, f.tempo.err = tt.loki, tt.tempo
				resp := f.get(t, acme, base+"/"+tt.id+"/timeline", "Accept", accept)
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.gap) || strings.Contains(string(body), "secret") {
					t.Errorf("%s: %s", resp.Status, body)
				}
				if tt.status == 503 && resp.Header.Get("Retry-After") == "" {
					t.Error("it doesn't say when to try again")
				}
			})
		}
	}
}

func TestTracesThatTempoLost(t *testing.T) {
	w := recorded(t)
	f := newFixture(t, map[string]*world{acme: w})
	keepSpans(w.traces, func(s ptrace.Span) bool { return namedBy(s).String() != suspended })
	tl := decode[Timeline](t, f.get(t, acme, base+"/"+suspended+"/timeline"))
	if len(tl.Events) == 0 || len(tl.Gaps) != 1 || !strings.HasSuffix(tl.Gaps[0], "Tempo doesn't have it") {
		t.Errorf("%d events, gaps %q", len(tl.Events), tl.Gaps)
	}
}

// Two tenants have the same invocations and traces, and each sees its own.
func TestTenantsWithEqualIDs(t *testing.T) {
	const globex = "globex"
	worlds := map[string]*world{acme: recorded(t), globex: recorded(t)}
	for tenant, w := range worlds {
		for _, rs := range w.traces.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					s.Attributes().PutStr("whose", tenant)
				}
			}
		}
		for _, s := range w.streams {
			for i := range s.Entries {
				s.Entries[i].Line += tenant
			}
		}
	}
	w := worlds[globex]
	w.streams = map[string]*push.Stream{strings.Replace(slices.Collect(maps.Keys(w.streams))[0], acme, globex, 1): slices.Collect(maps.Values(w.streams))[0]}
	f := newFixture(t, worlds)
	for _, tenant := range []string{acme, globex} {
		tl := decode[Timeline](t, f.get(t, tenant, base+"/"+checkout+"/timeline?relatives=callees&depth=8"))
		if len(tl.Events) < 60 {
			t.Errorf("%s: %d events", tenant, len(tl.Events))
		}
		for _, e := range tl.Events {
			if e.Span != nil && e.Span.Attributes["whose"] != tenant || e.Log != nil && !strings.HasSuffix(e.Log.Line, tenant) {
				t.Errorf("%s sees %+v", tenant, e)
			}
		}
	}
	if resp := f.get(t, "initech", base+"/"+checkout+"/timeline"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a stranger gets %s", resp.Status)
	}
	for _, r := range decode[Page](t, f.get(t, "initech", base)).Invocations {
		t.Errorf("a stranger sees %s", r.ID)
	}
}

// More spans than are read are a gap, not a wrong answer.
func TestHugeTraces(t *testing.T) {
	w, id := newWorld(), invocationID(9)
	spans := w.traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	start := time.Unix(1_700_000_000, 0)
	for i := range maxSpans + 100 {
		s := spans.AppendEmpty()
		s.SetTraceID(pcommon.TraceID{1})
		s.SetSpanID(pcommon.SpanID(spanID(i + 1)))
		s.SetName("invocation-attempt x")
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(start.Add(time.Duration(i))))
		s.SetEndTimestamp(s.StartTimestamp())
		s.Attributes().PutStr(idAttribute, id.String())
	}
	w.now = start.Add(time.Minute)
	f := newFixture(t, map[string]*world{acme: w})
	events, end := readStream(t, f.get(t, acme, base+"/"+id.String()+"/timeline", "Accept", ndjson))
	if len(events) != maxSpans || !slices.ContainsFunc(end.Gaps, func(g string) bool { return strings.Contains(g, "only a part of it was read") }) {
		t.Errorf("%d events, gaps %q", len(events), end.Gaps)
	}
}

func TestAnswersThatAreTooLarge(t *testing.T) {
	f := newFixture(t, map[string]*world{acme: recorded(t)})
	real := f.tempo.answer
	f.tempo.answer = func(tenant string, r *http.Request) (int, []byte) {
		_, body := real(tenant, r)
		return http.StatusOK, append(body, make([]byte, maxAnswer)...)
	}
	answerLoki, asked := f.loki.answer, 0
	f.loki.answer = func(tenant string, r *http.Request) (int, []byte) {
		if asked++; len(r.URL.Query().Get("limit")) > 2 {
			return http.StatusOK, make([]byte, maxAnswer+1)
		}
		return answerLoki(tenant, r)
	}
	tl := decode[Timeline](t, f.get(t, acme, base+"/"+checkout+"/timeline"))
	if len(tl.Events) != 14 || len(tl.Gaps) != 1 || !strings.HasSuffix(tl.Gaps[0], "too large to be read") || asked < 2 {
		t.Errorf("%d events, %d requests, gaps %q", len(tl.Events), asked, tl.Gaps)
	}
}

func TestFollowWhenEnginesAreAway(t *testing.T) {
	f := newFixture(t, map[string]*world{acme: recorded(t)})
	f.loki.err = errors.New("the client has gone")
	f.tempo.err = f.loki.err
	resp := f.get(t, acme, base+"/"+checkout+"/timeline?follow=true", "Accept", ndjson)
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s", resp.Status)
	}
}
