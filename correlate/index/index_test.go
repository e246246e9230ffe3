package index_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
)

// eachSpan makes a request of each recorded span that has ids.
func eachSpan(t testing.TB, names ...string) [][]byte {
	t.Helper()
	var requests [][]byte
	for _, name := range names {
		all := ptraceotlp.NewExportRequest()
		if err := all.UnmarshalProto(readFile(t, name)); err != nil {
			t.Fatal(err)
		}
		for _, rs := range all.Traces().ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					if !s.TraceID().IsEmpty() {
						requests = append(requests, oneSpan(t, s))
					}
				}
			}
		}
	}
	return requests
}

func oneSpan(t testing.TB, s ptrace.Span) []byte {
	t.Helper()
	one := ptrace.NewTraces()
	s.CopyTo(one.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty())
	body, err := ptraceotlp.NewExportRequestFromTraces(one).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestLostSpansNeverTellFalsely drops a third of the spans, in any order: what the
// index then says is the truth, or less and it says so.
func TestLostSpansNeverTellFalsely(t *testing.T) {
	all := readTruth(t)
	spans := eachSpan(t, "traces-debug-01.otlp.pb", "traces-debug-02.otlp.pb")
	d := rand.New(rand.NewPCG(9, 10))
	for range 40 {
		x := newIndex(t)
		d.Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
		applySpans(t, x, spans[:len(spans)*2/3]...)
		for _, inv := range all {
			checkPartial(t, x, expect(all, inv), inv)
		}
	}
}

// checkPartial compares what the index says of an invocation with the truth.
func checkPartial(t *testing.T, x *index.Index, want told, inv truth) {
	t.Helper()
	r, err := x.Get(context.Background(), tenant, parseID(t, inv.ID))
	if errors.Is(err, index.ErrNotFound) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	got := tell(t, x, inv.ID)
	gaps := r.Gaps()
	if got.Target != want.Target {
		t.Errorf("%s: target %s", inv.ID, got.Target)
	}
	if got.Origin != want.Origin && got.Origin != "unknown" {
		t.Errorf("%s: origin %s, not %s", inv.ID, got.Origin, want.Origin)
	}
	if got.Caller != want.Caller && got.Caller != "" {
		t.Errorf("%s: caller %s, not %s", inv.ID, got.Caller, want.Caller)
	}
	if got.Attempts > want.Attempts || !subset(got.Traces, want.Traces) || !subset(got.Calls, want.Calls) || !subset(got.Sends, want.Sends) {
		t.Errorf("%s: more than the truth: %+v, not %+v", inv.ID, got, want)
	}
	switch {
	case got.Outcome == want.Outcome:
	case !r.Outcome().Final(): // it isn't claimed to be the last
	case r.Outcome() == index.Completed && slices.Contains(gaps, "end") && (want.Outcome == "succeeded" || want.Outcome == "failed"):
	default:
		t.Errorf("%s: outcome %s with gaps %v, not %s", inv.ID, got.Outcome, gaps, want.Outcome)
	}
}

func subset(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}

func TestRestate16IsTold(t *testing.T) {
	x := newIndex(t)
	applySpans(t, x, readFile(t, "traces-v162-01.otlp.pb"))
	got := tell(t, x, "inv_1liTGu9U1TPo5EZ2G0Xc4iewaANi4BQAlH")
	if got.Outcome != "failed" || got.Origin != "ingress" || got.Target != "Flaky/terminal" || !slices.Equal(got.Traces, []string{"893f611333eb3d8a69cc2ae7b755a414"}) {
		t.Errorf("from spans: %+v", got)
	}
	// One that is paused has only its ingress span.
	if got := tell(t, x, "inv_16phxfye8Z85164Zmgogo8NhnhNicZQ2hH"); got.Outcome != "unknown" {
		t.Errorf("from an ingress span: %+v", got)
	}
	applyLines(t, x, encodeLines(t, recordedLines(t, "restate-v162-debug.jsonl")))
	if got := tell(t, x, "inv_1liTGu9U1TPo5EZ2G0Xc4iewaANi4BQAlH"); got.Outcome != "failed" {
		t.Errorf("from spans and lines: %+v", got)
	}
}

// TestSpansOfAStoreAreTenants sees that equal ids of two tenants stay apart.
func TestTenantsNeverMix(t *testing.T) {
	x := newIndex(t)
	ctx := context.Background()
	applySpans(t, x, spanBatches(t)...)
	all := readTruth(t)
	var b index.Batch
	if err := b.Spans(eachSpan(t, "traces-debug-01.otlp.pb")[0]); err != nil {
		t.Fatal(err)
	}
	if err := x.Apply(ctx, "acme-2", &b); err != nil {
		t.Fatal(err)
	}
	one := b.Records()[0].ID
	for _, inv := range all {
		id := parseID(t, inv.ID)
		r, err := x.Get(ctx, "acme-2", id)
		if (err == nil) != (id == one) {
			t.Errorf("%s: %v of the other tenant", inv.ID, err)
		}
		if err == nil {
			mine, err := x.Get(ctx, tenant, id)
			if err != nil {
				t.Fatal(err)
			}
			if len(mine.Attempts) <= len(r.Attempts) {
				t.Error("the other tenant knows as much")
			}
		}
		if _, known := x.Trace(ctx, "acme-3", id, true); known {
			t.Error("a third tenant knows a trace")
		}
	}
	for _, name := range []string{"acme-2", "acme-3", "acm"} {
		page, err := x.List(ctx, name, index.Query{})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"acme-2": 1}[name]; len(page.Records) != want {
			t.Errorf("%s lists %d invocations", name, len(page.Records))
		}
	}
}

func TestTextFormatsAreTold(t *testing.T) {
	x := newIndex(t)
	ctx := context.Background()
	for _, name := range []string{"restate-compact.log", "restate-pretty.log"} {
		applyLines(t, x, encodeLines(t, records(recordedLines(t, name))))
	}
	page, err := x.List(ctx, tenant, index.Query{ErrorCode: "500 Internal"})
	if err != nil {
		t.Fatal(err)
	}
	messages := map[string]index.Outcome{}
	for _, r := range page.Records {
		messages[r.Failure.Value.Message] = r.Outcome()
	}
	// What the two runs of the recording end with, as their lines say it.
	for _, want := range []string{"quota exceeded", "database is locked", "upstream 503 (try 2)", "connection refused by upstream (attempt 2)"} {
		if _, told := messages[want]; !told {
			t.Errorf("no failure %q in %v", want, messages)
		}
	}
	if messages["database is locked"] != index.Paused {
		t.Errorf("database is locked: %s, not paused", messages["database is locked"])
	}
}

func TestFailuresAreTold(t *testing.T) {
	const id = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"
	for name, c := range map[string]struct {
		line string
		want index.Failure
	}{
		"json, by the service": {
			`{"timestamp":"2026-11-23T03:14:01.011781Z","level":"WARN","fields":{"message":"Invocation error, retrying in 524ms 874µs.","error":"Got a (transient) error from the service while processing invocation.\n[500 Internal] no \"upstream\".\n> This error originated while processing Unknown","restate.invocation.id":"` + id + `"},"target":"restate_invoker_impl"}`,
			index.Failure{Status: "500 Internal", Message: `no "upstream"`},
		},
		"json, on the way": {
			`{"timestamp":"2026-11-23T03:14:07.128446Z","level":"WARN","fields":{"message":"Invocation error, retrying in 504ms 779µs.","error":"error when calling 'http://127.0.0.1:19080/': h2 pool connection error: Connection refused (os error 111)","restate.error.code":"RT0010","restate.invocation.id":"` + id + `"},"target":"restate_invoker_impl"}`,
			index.Failure{Message: "error when calling 'http://127.0.0.1:19080/': h2 pool connection error: Connection refused (os error 111)"},
		},
		"compact, on the way": {
			"2026-11-23T03:10:16.274401Z  WARN handle_invocation_task_failed: restate_invoker_impl: Invocation error, retrying in 606ms. error=broken pipe restate.error.code=RT0010 restate.invocation.id=" + id,
			index.Failure{Message: "broken pipe"},
		},
		"pretty, on the way": {
			"\x1b[2m2026-11-23T03:10:16.274401Z\x1b[0m \x1b[33mWARN\x1b[0m \x1b[33mrestate_invoker_impl\x1b[0m\x1b[33m\n  \x1b[1;33mError when executing the invocation, pausing the invocation.\x1b[0m\x1b[33m\n    \x1b[1;33merror\x1b[0m\x1b[33m: broken pipe\x1b[0m\n    \x1b[1;33mrestate.invocation.id\x1b[0m\x1b[33m: \x1b[3;33m" + id + "\x1b[0m",
			index.Failure{Message: "broken pipe"},
		},
		"answered": {
			`{"timestamp":"2026-11-23T03:14:07.116960Z","level":"DEBUG","fields":{"message":"Send response to ingress with request id '01M8': Failure([402] card \"declined\" by issuer)"},"target":"restate_worker::partition::state_machine","span":{"restate.invocation.id":"` + id + `"}}`,
			index.Failure{Status: "402", Message: `card "declined" by issuer`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newIndex(t)
			applyLines(t, x, encodeLines(t, []string{c.line}))
			r, err := x.Get(context.Background(), tenant, parseID(t, id))
			if err != nil {
				t.Fatal(err)
			}
			if r.Failure.Value != c.want {
				t.Errorf("%+v, not %+v", r.Failure.Value, c.want)
			}
		})
	}
}

// records joins the lines of records that the shipper would join.
func records(lines []string) []string {
	var joined []string
	for _, line := range lines {
		if _, ok := correlate.Timestamp(line); ok || len(joined) == 0 {
			joined = append(joined, line)
			continue
		}
		joined[len(joined)-1] += "\n" + line
	}
	return joined
}

// TestScheduledIsSent follows a delayed one-way send, of which nothing but lines tells
// until its time comes.
func TestScheduledIsSent(t *testing.T) {
	const caller, callee = "inv_1dL2F41MDcb40Y6UAwW8lwEbTAWGPizOwI", "inv_1l3CaKN57s755GxmkTXoB76fJyyqHNymv7"
	x := newIndex(t)
	var lines []string
	for _, line := range recordedLines(t, "restate-debug.jsonl") {
		lines = append(lines, line)
		if strings.Contains(line, "Register background invoke timer") && strings.Contains(line, callee) {
			break
		}
	}
	applyLines(t, x, encodeLines(t, lines))
	if got := tell(t, x, callee); got.Outcome != "scheduled" || got.Origin != "send" || got.Caller != caller {
		t.Errorf("the callee: %+v", got)
	}
	r, err := x.Get(context.Background(), tenant, parseID(t, caller))
	if err != nil {
		t.Fatal(err)
	}
	rel, err := x.Relations(context.Background(), tenant, &r, 10)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(rel.Callees, index.Relative{ID: parseID(t, callee), Origin: index.Send}) {
		t.Errorf("the caller's: %+v", rel.Callees)
	}
}

// lineOf is a line of Restate's state machine.
func lineOf(at time.Time, id, message string) string {
	return fmt.Sprintf(`{"timestamp":%q,"level":"DEBUG","fields":{"message":%q},"target":"restate_worker::partition::state_machine","span":{"restate.invocation.id":%q}}`,
		at.UTC().Format("2006-01-02T15:04:05.000000Z"), message, id)
}

// TestAnEndIsThatOfItsRun follows an invocation that is forgotten long after its end,
// and then runs again under the same id.
func TestAnEndIsThatOfItsRun(t *testing.T) {
	const id = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"
	x := newIndex(t)
	ctx := context.Background()
	applySpans(t, x, spanBatches(t)...)
	get := func() index.Record {
		t.Helper()
		r, err := x.Get(ctx, tenant, parseID(t, id))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := get()
	trace, known := x.Trace(ctx, tenant, first.ID, true)
	if !known || trace.Until <= first.EndedAt() {
		t.Errorf("trace %v of a run that ended at %d", trace, first.EndedAt())
	}
	ended := time.Unix(0, first.EndedAt())
	day := ended.Add(24 * time.Hour)
	applyLines(t, x, encodeLines(t, []string{lineOf(day, id, "Effect: Free invocation")}))
	if r := get(); r.EndedAt() != ended.UnixNano() || r.Outcome() != index.Succeeded {
		t.Errorf("freed a day later: %s at %d, not %d", r.Outcome(), r.EndedAt(), ended.UnixNano())
	}
	applyLines(t, x, encodeLines(t, []string{
		lineOf(day.Add(time.Hour), id, "First time we see this invocation id, invocation will be processed"),
		lineOf(day.Add(time.Hour), id, "Invoke"),
	}))
	if r := get(); r.EndedAt() != 0 || r.Outcome() != index.Running {
		t.Errorf("running again: %s, ended at %d", r.Outcome(), r.EndedAt())
	}
	if trace, known := x.Trace(ctx, tenant, first.ID, true); known {
		t.Errorf("the run that has no spans yet has the trace %v", trace)
	}
}

func TestFreedBeforeItRan(t *testing.T) {
	const id = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"
	x := newIndex(t)
	at := time.Unix(1795403640, 0)
	applyLines(t, x, encodeLines(t, []string{
		lineOf(at, id, "First time we see this invocation id, invocation will be processed"),
		lineOf(at.Add(time.Millisecond), id, "Store scheduled invocation"),
		lineOf(at.Add(time.Second), id, "Effect: Free invocation"),
	}))
	r, err := x.Get(context.Background(), tenant, parseID(t, id))
	if err != nil {
		t.Fatal(err)
	}
	if r.Outcome() != index.Completed || r.EndedAt() != at.Add(time.Second).UnixNano() || !slices.Contains(r.Gaps(), "end") {
		t.Errorf("%s at %d with gaps %v", r.Outcome(), r.EndedAt(), r.Gaps())
	}
}
