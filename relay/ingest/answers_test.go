package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/queue"
)

// graves keeps what was buried; err refuses it.
type graves struct {
	memory
	reasons []string
	err     error
}

func (g *graves) Bury(ctx context.Context, tenant, reason string, req queue.Request) error {
	if g.err != nil {
		return g.err
	}
	g.reasons = append(g.reasons, reason)
	return g.Append(ctx, tenant, req)
}

const (
	maxAge  = time.Hour
	maxLead = time.Minute
	maxItem = 1000
)

// strict is a fixture in which every limit is on; its clock stands at now.
func strict(t testing.TB) (f *fixture, dead *graves, now time.Time) {
	t.Helper()
	dead = &graves{}
	now = time.Unix(1_800_000_000, 0).UTC()
	return with(t, func(o *Options) {
		o.DeadLogs, o.LogMaxAge, o.SpanMaxAge, o.MaxLead, o.MaxItemBytes = dead, maxAge, maxAge, maxLead, maxItem
		o.Now = func() time.Time { return now }
	}), dead, now
}

func lines(streams []push.Stream) (all []string) {
	for _, s := range streams {
		for _, e := range s.Entries {
			all = append(all, e.Line)
		}
	}
	return all
}

func TestEntriesThatAreTooOldAreBuried(t *testing.T) {
	f, dead, now := strict(t)
	at := func(line string, age time.Duration) push.Entry {
		return push.Entry{Line: line, Timestamp: now.Add(-age)}
	}
	body := protoPush(t,
		push.Stream{Labels: `{a="1"}`, Entries: []push.Entry{at("old", maxAge+1), at("live", maxAge), at("older", 2*maxAge)}},
		push.Stream{Labels: `{a="2"}`, Entries: []push.Entry{at("old2", 3*maxAge)}})
	if w := do(f.LokiPush, fault.Plain, header(), body); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if diff := cmp.Diff([]string{"live"}, lines(f.logs.streams(t))); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	want := []push.Stream{
		{Labels: `{a="1", tenant="acme"}`, Entries: []push.Entry{at("old", maxAge+1), at("older", 2*maxAge)}},
		{Labels: `{a="2", tenant="acme"}`, Entries: []push.Entry{at("old2", 3*maxAge)}},
	}
	if diff := cmp.Diff(want, dead.streams(t)); diff != "" || dead.tenant != "acme" {
		t.Errorf("buried for %q (-want +got):\n%s", dead.tenant, diff)
	}
	if diff := cmp.Diff([]string{"older than 1h"}, dead.reasons); diff != "" {
		t.Error(diff)
	}
	if got := testutil.ToFloat64(f.metrics.buried); got != 3 {
		t.Errorf("%v entries were counted", got)
	}

	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	records.AppendEmpty().SetTimestamp(pcommon.NewTimestampFromTime(now.Add(-2 * maxAge)))
	records.AppendEmpty().SetTimestamp(pcommon.NewTimestampFromTime(now))
	resp, err := f.exportLogs(t.Context(), "acme", encodeLogs(t, logs))
	if got := resp.PartialSuccess(); err != nil || got.RejectedLogRecords() != 0 || got.ErrorMessage() != "1 log records older than 1h are kept as dead letters" {
		t.Errorf("OTLP: %v, %d %q", err, got.RejectedLogRecords(), got.ErrorMessage())
	}
}

func TestEntriesThatCannotBeBuriedAreNotAcknowledged(t *testing.T) {
	f, dead, now := strict(t)
	dead.err = errors.New("/secret: disk full")
	body := protoPush(t, push.Stream{Labels: `{a="1"}`, Entries: []push.Entry{{Line: "old", Timestamp: now.Add(-2 * maxAge)}}})
	w := do(f.LokiPush, fault.Plain, header(), body)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	// Without room for dead letters it is refused as by Loki, and the rest is kept.
	dead.err = fmt.Errorf("dead letters: %w", queue.ErrFull)
	both := protoPush(t, push.Stream{Labels: `{a="1"}`, Entries: []push.Entry{{Line: "old", Timestamp: now.Add(-2 * maxAge)}, {Line: "live", Timestamp: now}}})
	if w := do(f.LokiPush, fault.Plain, header(), both); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "timestamp too old") || len(f.logs.bodies) != 1 {
		t.Errorf("%d %s with %d stored", w.Code, w.Body, len(f.logs.bodies))
	}
	// With a full queue nothing is buried, else it would be at each try.
	dead.err, f.logs.err = nil, queue.ErrFull
	body = protoPush(t, push.Stream{Labels: `{a="1"}`, Entries: []push.Entry{{Line: "old", Timestamp: now.Add(-2 * maxAge)}, {Line: "live", Timestamp: now}}})
	if w := do(f.LokiPush, fault.Plain, header(), body); w.Code != http.StatusServiceUnavailable || len(dead.reasons) != 0 {
		t.Errorf("%d with %d buried", w.Code, len(dead.reasons))
	}
}

func TestOldEntriesWithoutDeadLetters(t *testing.T) {
	f := with(t, func(o *Options) { o.SpanMaxAge, o.Now = maxAge, time.Now })
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: `{a="1"}`, Entries: []push.Entry{pushed("old")}}))
	if w.Code != http.StatusNoContent || len(f.logs.bodies) != 1 {
		t.Errorf("%d with %d stored", w.Code, len(f.logs.bodies))
	}
}

func TestBadEntriesOfAPush(t *testing.T) {
	meta := func(name, value string) push.LabelsAdapter { return push.LabelsAdapter{{Name: name, Value: value}} }
	for name, c := range map[string]struct {
		change func(*push.Entry, time.Time)
		says   string
	}{
		"in the future": {func(e *push.Entry, now time.Time) { e.Timestamp = now.Add(maxLead + 1) },
			`entry for stream '{a="b", tenant="acme"}' has timestamp too new: 2027-01-15T08:01:00Z`},
		"too long": {func(e *push.Entry, _ time.Time) { e.Line = strings.Repeat("x", maxItem+1) },
			`max entry size '1000' bytes exceeded for stream '{a="b", tenant="acme"}' while adding an entry with length '1001' bytes`},
		"too long with its metadata": {func(e *push.Entry, _ time.Time) { e.StructuredMetadata = meta("k", strings.Repeat("x", maxItem-3)) },
			`max entry size '1000' bytes exceeded for stream '{a="b", tenant="acme"}' while adding an entry with length '1001' bytes`},
		"no name":         {func(e *push.Entry, _ time.Time) { e.StructuredMetadata = meta("", "v") }, "label name is empty"},
		"underscores":     {func(e *push.Entry, _ time.Time) { e.StructuredMetadata = meta("_.", "v") }, `normalization for label name "_." resulted in invalid name "_"`},
		"too much of it":  {func(e *push.Entry, _ time.Time) { e.StructuredMetadata = make(push.LabelsAdapter, maxMetadata+1) }, `has too many structured metadata labels: '1001', limit: '1000'`},
		"a dotted name":   {func(e *push.Entry, _ time.Time) { e.StructuredMetadata = meta("a.b", "v") }, ""},
		"a broken line":   {func(e *push.Entry, _ time.Time) { e.Line = "\xff" }, ""},
		"broken metadata": {func(e *push.Entry, _ time.Time) { e.StructuredMetadata = meta("k\xff", "v\xff") }, ""},
	} {
		f, _, now := strict(t)
		bad := push.Entry{Line: "bad", Timestamp: now}
		c.change(&bad, now)
		good := push.Entry{Line: "good", Timestamp: now}
		w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{good, bad, good}}))
		status, stored := http.StatusBadRequest, 2
		if c.says == "" {
			status, stored = http.StatusNoContent, 3
		}
		if got := strings.TrimSuffix(w.Body.String(), "\n"); w.Code != status || !strings.HasSuffix(got, c.says) {
			t.Errorf("%s: %d %q, want %d %q", name, w.Code, got, status, c.says)
		}
		if got := len(lines(f.logs.streams(t))); got != stored {
			t.Errorf("%s: %d entries were stored, want %d", name, got, stored)
		}
	}
}

func TestManyBadEntriesMakeAShortAnswer(t *testing.T) {
	f, _, now := strict(t)
	s := push.Stream{Labels: `{a="b"}`}
	for i := range 100 {
		for range 2 {
			s.Entries = append(s.Entries, push.Entry{Line: "x", Timestamp: now.Add(maxLead + time.Duration(i+1)*time.Second)})
		}
	}
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t, s))
	want := `2 errors like: entry for stream '{a="b", tenant="acme"}' has timestamp too new: 2027-01-15T08:01:01Z; 2 errors like: `
	if got := w.Body.String(); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "; 181 other errors\n") {
		t.Errorf("%q", got)
	}
	if got := testutil.ToFloat64(f.metrics.refused.WithLabelValues("logs", "too_far_in_the_future")); got != 200 {
		t.Errorf("%v were counted", got)
	}
}

func TestEntriesWithoutATime(t *testing.T) {
	f, _, now := strict(t)
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{
		{Line: "first"}, {Line: "second", Timestamp: now.Add(-time.Second)}, {Line: "third"}, {Line: "third", Timestamp: time.Unix(0, 0)},
	}}))
	if w.Code != http.StatusNoContent {
		t.Fatal(w.Code, w.Body)
	}
	var got []time.Duration
	for _, e := range f.logs.streams(t)[0].Entries {
		got = append(got, e.Timestamp.Sub(now))
	}
	if diff := cmp.Diff([]time.Duration{0, -time.Second, -time.Second + 1, -time.Second + 2}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTimesOfLogRecords(t *testing.T) {
	f, _, now := strict(t)
	logs := plog.NewLogs()
	for range 2 { // scopes don't tell each other the time
		records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
		for i, of := range []struct{ time, observed time.Duration }{{}, {}, {0, 3}, {7, 4}, {0, 5}, {}, {9, 0}} {
			r := records.AppendEmpty()
			r.Body().SetStr(fmt.Sprint(i))
			if of.time != 0 {
				r.SetTimestamp(pcommon.NewTimestampFromTime(now.Add(-of.time * time.Second)))
			}
			if of.observed != 0 {
				r.SetObservedTimestamp(pcommon.NewTimestampFromTime(now.Add(-of.observed * time.Second)))
			}
		}
	}
	if _, err := f.exportLogs(t.Context(), "acme", encodeLogs(t, logs)); err != nil {
		t.Fatal(err)
	}
	const s = time.Second
	want := []time.Duration{0, 1, -3 * s, -7 * s, -7*s + 1, -7*s + 2, -9 * s}
	for _, stream := range f.logs.streams(t) {
		var got []time.Duration
		for _, e := range stream.Entries {
			got = append(got, e.Timestamp.Sub(now))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestBadLogRecords(t *testing.T) {
	f, _, now := strict(t)
	logs := plog.NewLogs()
	add := func(change func(plog.ResourceLogs, plog.ScopeLogs, plog.LogRecord)) {
		rl := logs.ResourceLogs().AppendEmpty()
		sl := rl.ScopeLogs().AppendEmpty()
		for range 2 {
			r := sl.LogRecords().AppendEmpty()
			r.SetTimestamp(pcommon.NewTimestampFromTime(now))
			r.Body().SetStr("good")
		}
		change(rl, sl, sl.LogRecords().At(0))
	}
	for _, bad := range []func(plog.ResourceLogs, plog.ScopeLogs, plog.LogRecord){
		func(rl plog.ResourceLogs, _ plog.ScopeLogs, _ plog.LogRecord) {
			rl.Resource().Attributes().PutStr("a", "\xff") // both records
		},
		func(rl plog.ResourceLogs, _ plog.ScopeLogs, _ plog.LogRecord) { rl.SetSchemaUrl("\xff") },
		func(rl plog.ResourceLogs, _ plog.ScopeLogs, _ plog.LogRecord) {
			rl.Resource().Attributes().PutStr("service.name", strings.Repeat("x", maxLabelValueBytes+1))
		},
		func(rl plog.ResourceLogs, _ plog.ScopeLogs, _ plog.LogRecord) {
			rl.Resource().Attributes().PutStr("", "v")
		},
		func(_ plog.ResourceLogs, sl plog.ScopeLogs, _ plog.LogRecord) { sl.Scope().SetName("\xff") },
		func(_ plog.ResourceLogs, sl plog.ScopeLogs, _ plog.LogRecord) {
			sl.Scope().Attributes().PutStr("_", "v")
		},
		func(_ plog.ResourceLogs, _ plog.ScopeLogs, r plog.LogRecord) { r.Body().SetStr("\xff") },
		func(_ plog.ResourceLogs, _ plog.ScopeLogs, r plog.LogRecord) {
			r.Body().SetEmptyMap().PutStr("\xff", "")
		},
		func(_ plog.ResourceLogs, _ plog.ScopeLogs, r plog.LogRecord) { r.SetSeverityText("\xff") },
		func(_ plog.ResourceLogs, _ plog.ScopeLogs, r plog.LogRecord) { r.Attributes().PutStr("__", "v") },
		func(_ plog.ResourceLogs, _ plog.ScopeLogs, r plog.LogRecord) {
			r.Body().SetStr(strings.Repeat("x", maxItem+1))
		},
		func(_ plog.ResourceLogs, _ plog.ScopeLogs, r plog.LogRecord) {
			r.SetTimestamp(pcommon.NewTimestampFromTime(now.Add(maxLead + 1)))
		},
		func(_ plog.ResourceLogs, _ plog.ScopeLogs, r plog.LogRecord) {
			for i := range maxMetadata + 1 {
				r.Attributes().PutInt(fmt.Sprint("k", i), 0)
			}
		},
	} {
		add(bad)
	}
	resp, err := f.exportLogs(t.Context(), "acme", encodeLogs(t, logs))
	if err != nil {
		t.Fatal(err)
	}
	want := "9 log records with text that isn't valid UTF-8; 2 log records with resource attributes that can't be stream labels; " +
		"5 log records with an attribute whose name can't be a label's; 1 log records larger than 1000 bytes; 1 log records more than 1m in the future; " +
		"1 log records with too many attributes"
	if got := resp.PartialSuccess(); got.RejectedLogRecords() != 19 || got.ErrorMessage() != want {
		t.Errorf("%d %q, want\n%q", got.RejectedLogRecords(), got.ErrorMessage(), want)
	}
	if got := lines(f.logs.streams(t)); strings.Join(got, "") != strings.Repeat("good", 7) {
		t.Errorf("stored: %q", got)
	}
}

func TestBadSpans(t *testing.T) {
	f, _, now := strict(t)
	traces := ptrace.NewTraces()
	for i, bad := range []func(ptrace.ResourceSpans, ptrace.ScopeSpans, ptrace.Span){
		func(rs ptrace.ResourceSpans, _ ptrace.ScopeSpans, _ ptrace.Span) {
			rs.Resource().Attributes().PutStr("\xff", "")
		},
		func(rs ptrace.ResourceSpans, _ ptrace.ScopeSpans, _ ptrace.Span) { rs.SetSchemaUrl("\xff") },
		func(_ ptrace.ResourceSpans, ss ptrace.ScopeSpans, _ ptrace.Span) { ss.Scope().SetVersion("\xff") },
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) { s.SetName("\xff") },
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) { s.Attributes().PutStr("k", "\xff") },
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) { s.Status().SetMessage("\xff") },
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) { s.TraceState().FromRaw("\xff") },
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) {
			s.Events().AppendEmpty().SetName("\xff")
		},
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) {
			s.Links().AppendEmpty().Attributes().PutEmptySlice("k").AppendEmpty().SetStr("\xff")
		},
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) { s.SetTraceID([16]byte{}) },
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) { s.SetSpanID([8]byte{}) },
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) {
			s.SetEndTimestamp(pcommon.NewTimestampFromTime(now.Add(-maxAge - 1)))
			s.SetStartTimestamp(0)
		},
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) {
			s.SetEndTimestamp(pcommon.NewTimestampFromTime(now.Add(maxLead + 1)))
		},
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) {
			s.SetName(strings.Repeat("x", maxItem))
		},
		func(_ ptrace.ResourceSpans, _ ptrace.ScopeSpans, s ptrace.Span) {
			s.SetStartTimestamp(pcommon.NewTimestampFromTime(now.Add(-2 * maxAge))) // it may run for long
		},
	} {
		rs := traces.ResourceSpans().AppendEmpty()
		ss := rs.ScopeSpans().AppendEmpty()
		for j := range 2 {
			s := ss.Spans().AppendEmpty()
			s.SetTraceID([16]byte{0: 1, 15: byte(i)})
			s.SetSpanID([8]byte{0: 1, 7: byte(j)})
			s.SetStartTimestamp(pcommon.NewTimestampFromTime(now.Add(-time.Second)))
			s.SetEndTimestamp(pcommon.NewTimestampFromTime(now))
		}
		bad(rs, ss, ss.Spans().At(0))
	}
	body, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := f.exportTraces(t.Context(), "acme", body)
	if err != nil {
		t.Fatal(err)
	}
	want := "12 spans with text that isn't valid UTF-8; 2 spans without a valid trace id and span id; 1 spans older than 1h; 1 spans more than 1m in the future; 1 spans larger than 1000 bytes"
	if got := resp.PartialSuccess(); got.RejectedSpans() != 17 || got.ErrorMessage() != want {
		t.Errorf("%d %q, want\n%q", got.RejectedSpans(), got.ErrorMessage(), want)
	}
	if got := f.traces.traces(t).SpanCount(); got != 30-17 {
		t.Errorf("%d spans were stored", got)
	}
}

// A decoder refuses the whole request for an id of the wrong length; we don't.
func TestIDsOfTheWrongLength(t *testing.T) {
	span := func(trace, id, parent, link int) []byte {
		n := func(number int32, size int) []byte { return appendField(nil, number, strings.Repeat("\x01", size)) }
		return appendField(nil, 2, join(n(1, trace), n(2, id), n(4, parent), appendField(nil, 13, n(1, link))))
	}
	f := newFixture(t)
	body := appendField(nil, 1, appendField(nil, 2, join(
		span(16, 8, 0, 0), span(15, 8, 0, 16), span(17, 8, 0, 0), span(16, 7, 0, 0), span(16, 8, 9, 0), span(16, 8, 8, 1), span(0, 8, 0, 0), span(16, 0, 0, 0), span(16, 8, 8, 16))))
	resp, err := f.exportTraces(t.Context(), "acme", body)
	if err != nil || resp.PartialSuccess().RejectedSpans() != 7 {
		t.Errorf("%v, %d rejected", err, resp.PartialSuccess().RejectedSpans())
	}
	if got := f.traces.traces(t).SpanCount(); got != 2 {
		t.Errorf("%d spans were stored", got)
	}
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
