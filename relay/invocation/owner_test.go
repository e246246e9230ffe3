package invocation

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
)

func spanID(n int) (id index.SpanID) {
	binary.BigEndian.PutUint64(id[:], uint64(n))
	return id
}

func invocationID(n int) (id correlate.InvocationID) {
	id.PartitionKey = uint64(n)
	binary.BigEndian.PutUint64(id.UUID[8:], uint64(n)<<32)
	return id
}

func TestOwners(t *testing.T) {
	a, b := invocationID(1), invocationID(2)
	tests := map[string]struct {
		spans []span
		known map[index.SpanID]correlate.InvocationID
		want  []correlate.InvocationID
		lost  []bool
	}{
		"named": {
			spans: []span{{id: spanID(1), named: a}},
			want:  []correlate.InvocationID{a},
		},
		"below an attempt, children first": {
			spans: []span{{id: spanID(3), parent: spanID(2)}, {id: spanID(2), parent: spanID(1)}, {id: spanID(1), named: a}},
			want:  []correlate.InvocationID{a, a, a},
		},
		"a called one is not its caller's": {
			spans: []span{
				{id: spanID(1), named: a}, {id: spanID(2), parent: spanID(1)},
				{id: spanID(3), parent: spanID(2), named: b}, {id: spanID(4), parent: spanID(3)},
			},
			want: []correlate.InvocationID{a, a, b, b},
		},
		"above all of them": {
			spans: []span{{id: spanID(1)}, {id: spanID(2), parent: spanID(1), named: a}},
			want:  []correlate.InvocationID{none, a},
		},
		"an orphan, though only one is named": {
			spans: []span{{id: spanID(1), named: a}, {id: spanID(3), parent: spanID(2)}, {id: spanID(4), parent: spanID(3)}},
			want:  []correlate.InvocationID{a, none, none},
			lost:  []bool{false, true, true},
		},
		"an orphan of a known span": {
			spans: []span{{id: spanID(3), parent: spanID(2)}},
			known: map[index.SpanID]correlate.InvocationID{spanID(2): b},
			want:  []correlate.InvocationID{b},
		},
		"a circle": {
			spans: []span{{id: spanID(1), parent: spanID(2)}, {id: spanID(2), parent: spanID(1)}, {id: spanID(3), parent: spanID(3)}},
			want:  []correlate.InvocationID{none, none, none},
		},
		"one id twice": {
			spans: []span{{id: spanID(1)}, {id: spanID(1), named: a}, {id: spanID(2), parent: spanID(1)}},
			want:  []correlate.InvocationID{none, a, a},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tr := trace{spans: tt.spans}
			tr.assign(tt.known)
			for i := range tr.spans {
				if got := tr.spans[i].owner; got != tt.want[i] {
					t.Errorf("span %d belongs to %v, want %v", i, got, tt.want[i])
				}
				if want := tt.lost != nil && tt.lost[i]; tr.spans[i].lost != want {
					t.Errorf("span %d: lost is %v", i, tr.spans[i].lost)
				}
			}
		})
	}
}

// forest grows a trace at random: invocations that call others, with users' spans
// between them, and whose each span is.
func forest(r *rand.Rand, size int) (spans []span, truth []correlate.InvocationID) {
	for i := range size {
		s := span{id: spanID(i + 1)}
		owner := none
		if i > 0 {
			parent := r.IntN(i)
			s.parent, owner = spanID(parent+1), truth[parent]
		}
		if r.IntN(3) == 0 {
			owner = invocationID(1 + r.IntN(5))
			s.named = owner
		}
		spans, truth = append(spans, s), append(truth, owner)
	}
	return spans, truth
}

// Whatever is lost, no span is given to an invocation that it doesn't belong to;
// and when nothing is, each to its own.
func TestLostSpansNeverMisattribute(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 7))
		all, truth := forest(r, 1+r.IntN(60))
		order := r.Perm(len(all))
		lossy := seed%4 > 0
		var tr trace
		var want []correlate.InvocationID
		for _, i := range order {
			if lossy && r.IntN(3) == 0 {
				continue
			}
			tr.spans, want = append(tr.spans, all[i]), append(want, truth[i])
		}
		tr.assign(nil)
		for i := range tr.spans {
			if got := tr.spans[i].owner; got != want[i] && (!lossy || got != none) {
				t.Fatalf("seed %d: span %d was given to %v, not %v", seed, i, got, want[i])
			}
		}
	}
}

// userService adds, below every attempt of the world, the spans and lines of a
// service of the user's, whose names say whose they are.
func userService(w *world) {
	rs := w.traces.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "shop")
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	var attempts []ptrace.Span
	for _, rs := range w.traces.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				if namedBy(s) != none && len(s.Name()) > 18 && s.Name()[:18] == "invocation-attempt" {
					attempts = append(attempts, s)
				}
			}
		}
	}
	for n, attempt := range attempts {
		id := namedBy(attempt).String()
		parent := attempt.SpanID()
		for depth := range 3 {
			s := spans.AppendEmpty()
			s.SetTraceID(attempt.TraceID())
			s.SetSpanID(pcommon.SpanID(spanID(1<<40 + 10*n + depth)))
			s.SetParentSpanID(parent)
			s.SetName(fmt.Sprintf("user %s %d", id, depth))
			s.SetStartTimestamp(attempt.StartTimestamp() + pcommon.Timestamp(depth))
			s.SetEndTimestamp(attempt.StartTimestamp() + 10)
			parent = s.SpanID()
			w.log(`{service_name="shop", tenant="acme"}`, s.StartTimestamp().AsTime().Add(time.Nanosecond), "line of "+id[:12],
				map[string]string{"trace_id": s.TraceID().String(), "span_id": s.SpanID().String(), "owner": id})
		}
		w.log(`{service_name="shop", tenant="acme"}`, attempt.StartTimestamp().AsTime(), "line of a trace",
			map[string]string{"trace_id": attempt.TraceID().String()})
	}
}

// ownerOf is whose an event is, by what the recording and userService say.
func ownerOf(e *Event) string {
	if e.Log != nil {
		if id := e.Log.Metadata["owner"]; id != "" {
			return id
		}
		return e.Log.Metadata[correlate.MetaInvocationID]
	}
	if id, ok := e.Span.Attributes[idAttribute].(string); ok {
		return id
	}
	var id string
	_, _ = fmt.Sscanf(e.Span.Name, "user %s", &id)
	return id
}

// What a user's service sends is told of the invocation whose attempt it is below.
func TestUserServices(t *testing.T) {
	w := recorded(t)
	userService(w)
	f := newFixture(t, map[string]*world{acme: w})
	for _, inv := range readTruth(t) {
		spans, lines, ofTrace := 0, 0, 0
		for _, e := range decode[Timeline](t, f.get(t, acme, base+"/"+inv.ID+"/timeline?limit=5000")).Events {
			if e.Relation == relationTrace {
				ofTrace++
				continue
			}
			if got := ownerOf(&e); got != inv.ID {
				t.Errorf("%s: an event of %q: %+v", inv.ID, got, e)
			}
			switch {
			case e.Log != nil && e.Log.Labels["service_name"] == "shop":
				lines++
			case e.Span != nil && e.Span.Service == "shop":
				spans++
			}
		}
		attempts := inv.Spans.Kinds["invocation-attempt"]
		if want := 3 * attempts; spans != want || lines != want {
			t.Errorf("%s: %d spans and %d lines of its service, want %d", inv.ID, spans, lines, want)
		}
		// Lines that name a trace only are told where nobody else runs in it.
		want := attempts
		if inv.Relation == "child" || len(f.relationsOf(t, inv.ID)) > 0 {
			want = 0
		}
		if ofTrace != want {
			t.Errorf("%s: %d lines of its trace, want %d", inv.ID, ofTrace, want)
		}
	}
}

// relationsOf lists whom an invocation called in its own trace.
func (f *fixture) relationsOf(t *testing.T, id string) (called []string) {
	t.Helper()
	for _, c := range decode[Invocation](t, f.get(t, acme, base+"/"+id)).Callees {
		if c.Origin == "call" {
			called = append(called, c.ID)
		}
	}
	return called
}

// A timeline is never wrong for what was lost, whoever lost it.
func TestLossNeverMakesATimelineWrong(t *testing.T) {
	whole := recorded(t)
	userService(whole)
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 11))
		w := newWorld()
		w.now, w.streams = whole.now, whole.streams
		whole.traces.CopyTo(w.traces)
		keepSpans(w.traces, func(ptrace.Span) bool { return r.IntN(3) > 0 })
		f := newFixture(t, map[string]*world{acme: w})
		keepSpans(w.traces, func(ptrace.Span) bool { return r.IntN(5) > 0 }) // Tempo lost these
		for _, inv := range readTruth(t) {
			for _, query := range []string{"", "&relatives=callers,callees&depth=8"} {
				tl := decode[Timeline](t, f.get(t, acme, base+"/"+inv.ID+"/timeline?limit=5000"+query))
				for _, e := range tl.Events {
					if got := ownerOf(&e); e.Invocation != "" && got != e.Invocation {
						t.Fatalf("seed %d, %s: an event of %q was given to %q", seed, inv.ID, got, e.Invocation)
					}
				}
			}
		}
	}
}

func TestSpanIDsOfStartSpansAreKnown(t *testing.T) {
	for _, inv := range readTruth(t) {
		id, err := correlate.ParseInvocationID(inv.ID)
		if err != nil {
			t.Fatal(err)
		}
		c := &cast{members: map[correlate.InvocationID]string{}, seen: map[index.TraceID]int{}, known: map[index.SpanID]correlate.InvocationID{}}
		c.add(&index.Record{ID: id}, relationSelf, 0, 1)
		for _, s := range startSpans(t, id) {
			if c.known[s] != id {
				t.Errorf("%s: its start span %s isn't known", inv.ID, hex.EncodeToString(s[:]))
			}
		}
	}
}

// A span that two invocations claim tells nothing.
func TestSpansOfTwo(t *testing.T) {
	c := &cast{known: map[index.SpanID]correlate.InvocationID{}}
	a, b := invocationID(1), invocationID(2)
	for _, id := range []correlate.InvocationID{a, a, b, a} {
		c.know(spanID(1), id)
	}
	c.know(spanID(2), b)
	c.know(index.SpanID{}, b)
	if c.known[spanID(1)] != none || c.known[spanID(2)] != b || c.known[index.SpanID{}] != none {
		t.Errorf("known: %v", c.known)
	}
}

func startSpans(t *testing.T, id correlate.InvocationID) (starts []index.SpanID) {
	t.Helper()
	traces := recordedSpans(t)
	keepSpans(traces, func(s ptrace.Span) bool { return namedBy(s) == id && s.Name()[:6] == "invoca" })
	for _, rs := range traces.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				if len(s.Name()) > 16 && s.Name()[:16] == "invocation-start" {
					starts = append(starts, index.SpanID(s.SpanID()))
				}
			}
		}
	}
	return starts
}
