package ingest

import (
	"bytes"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/relay/fault"
)

// samePush fails when a request that the reference takes, and of which we refuse
// nothing, isn't stored as the reference would. It reports whether it compared.
func samePush(t *testing.T, body []byte) bool {
	t.Helper()
	return samePushTo(t, newFixture(t), body) && samePushTo(t, newFullFixture(t), body)
}

func samePushTo(t *testing.T, f *fixture, body []byte) bool {
	t.Helper()
	f.opts.MaxBytes, f.opts.MaxItemBytes = 10<<20, 10<<20
	w := do(f.LokiPush, fault.Plain, header(), body)
	stored := f.logs.streams(t) // it fails the test when it can't be decoded
	want, err := referencePush(f.Ingest, body)
	if err != nil || w.Code != 204 {
		return false
	}
	if diff := cmp.Diff(want, merge(stored)); diff != "" {
		t.Errorf("(-reference +ours):\n%s", diff)
	}
	return true
}

// sameLogs does the same for an ExportLogsServiceRequest.
func sameLogs(t *testing.T, body []byte) bool {
	t.Helper()
	return sameLogsTo(t, newFixture(t), body) && sameLogsTo(t, newFullFixture(t), body)
}

func sameLogsTo(t *testing.T, f *fixture, body []byte) bool {
	t.Helper()
	f.opts.MaxBytes, f.opts.MaxItemBytes = 10<<20, 10<<20
	resp, err := f.exportLogs(t.Context(), "acme", body)
	stored := f.logs.streams(t)
	want, refErr := referenceLogs(f.Ingest, body)
	if err != nil || refErr != nil || resp.PartialSuccess().RejectedLogRecords() > 0 {
		return false
	}
	if diff := cmp.Diff(want, merge(stored)); diff != "" {
		t.Errorf("(-reference +ours):\n%s", diff)
	}
	return true
}

// sameTraces does the same for an ExportTraceServiceRequest.
func sameTraces(t *testing.T, body []byte) bool {
	t.Helper()
	f := newFixture(t)
	f.opts.MaxBytes, f.opts.MaxItemBytes = 10<<20, 10<<20
	resp, err := f.exportTraces(t.Context(), "acme", body)
	stored := ptrace.NewTraces()
	if len(f.traces.bodies) > 0 {
		stored = f.traces.traces(t)
	}
	want, refErr := referenceTraces(body)
	if err != nil || refErr != nil {
		return false
	}
	if strings.Contains(resp.PartialSuccess().ErrorMessage(), reasonText.phrase) {
		return false
	}
	encode := func(traces ptrace.Traces) string {
		b, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if encode(want) != encode(stored) {
		t.Errorf("stored\n%q, want\n%q", encode(stored), encode(want))
	}
	return true
}

func mustRead(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../testdata/restate/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	recordedLogs   = []string{"restate-debug.jsonl", "restate-compact.log", "restate-pretty.log", "restate-edge.jsonl", "restate-v162-debug.jsonl", "service-sdk-debug.log"}
	recordedTraces = []string{"traces-debug-01.otlp.pb", "traces-debug-02.otlp.pb", "traces-v162-01.otlp.pb"}
)

func recordedLines(t testing.TB, name string) []string {
	t.Helper()
	return strings.Split(strings.TrimSpace(string(mustRead(t, name))), "\n")
}

func TestRecordingsAreStoredAsTheReferenceDoes(t *testing.T) {
	for _, name := range recordedLogs {
		for _, lines := range slices.Collect(slices.Chunk(recordedLines(t, name), 100)) {
			s := push.Stream{Labels: `{container="restate", z="1"}`}
			logs := plog.NewLogs()
			rl := logs.ResourceLogs().AppendEmpty()
			rl.Resource().Attributes().PutStr("container.name", "/restate")
			rl.Resource().Attributes().PutStr("os.type", "linux")
			sl := rl.ScopeLogs().AppendEmpty()
			for i, line := range lines {
				s.Entries = append(s.Entries, pushed(line, push.LabelAdapter{Name: "k", Value: line[:min(i, len(line))]}))
				r := sl.LogRecords().AppendEmpty()
				r.SetTimestamp(pcommon.Timestamp(i % 3)) // some have none
				r.Body().SetStr(line)
				r.Attributes().PutInt("log.line", int64(i))
			}
			if !samePush(t, protoPush(t, s, s)) || !sameLogs(t, encodeLogs(t, logs)) {
				t.Errorf("%s: not compared", name)
			}
		}
	}
	for _, name := range recordedTraces {
		if !sameTraces(t, mustRead(t, name)) {
			t.Errorf("%s: not compared", name)
		}
	}
}

// everyValue is a log record and a span with each kind of value in each place.
func everyValue(t testing.TB) (logs, traces []byte) {
	t.Helper()
	fill := func(m pcommon.Map) {
		m.PutStr("s", "text")
		m.PutStr("", "")
		m.Remove("")
		m.PutBool("b", true)
		m.PutInt("i", -5)
		m.PutDouble("d.1", 1e21)
		m.PutDouble("nan", math.NaN())
		m.PutEmptyBytes("by").FromRaw([]byte{0xff, 0})
		m.PutEmpty("none")
		m.PutEmptySlice("li").AppendEmpty().SetEmptyMap().PutStr("x", "<&>")
		inner := m.PutEmptyMap("ma")
		inner.PutEmptyMap("deep").PutInt("er", 1)
		inner.PutEmptyMap("empty")
		m.PutStr("9digit", "x")
		m.PutStr("__reserved__", "x")
		m.PutStr("a..b", "x")
		m.PutStr("tenant", "forged")
		m.PutStr("level", "given")
	}
	l := plog.NewLogs()
	rl := l.ResourceLogs().AppendEmpty()
	fill(rl.Resource().Attributes())
	rl.Resource().Attributes().PutEmptyMap("service.name").PutStr("x", "y")
	sl := rl.ScopeLogs().AppendEmpty()
	fill(sl.Scope().Attributes())
	sl.Scope().SetDroppedAttributesCount(3)
	for i := range 8 {
		r := sl.LogRecords().AppendEmpty()
		fill(r.Attributes())
		r.Attributes().PutEmptyMap("all").EnsureCapacity(1)
		values := pcommon.NewMap()
		fill(values)
		keys := []string{"s", "b", "i", "d.1", "by", "none", "li", "ma"}
		v, _ := values.Get(keys[i])
		v.CopyTo(r.Body())
		r.SetSeverityNumber(plog.SeverityNumber(-i))
		r.SetDroppedAttributesCount(uint32(i))
		r.SetFlags(plog.LogRecordFlags(i))
		r.SetObservedTimestamp(pcommon.Timestamp(100 * i))
		r.SetTimestamp(pcommon.Timestamp(i % 4))
	}
	tr := spans(3, 2)
	rs := tr.ResourceSpans().At(0)
	fill(rs.Resource().Attributes())
	rs.SetSchemaUrl("https://example.com/1")
	fill(rs.ScopeSpans().At(0).Scope().Attributes())
	rs.ScopeSpans().At(0).SetSchemaUrl("https://example.com/2")
	for _, s := range rs.ScopeSpans().At(0).Spans().All() {
		fill(s.Attributes())
		fill(s.Events().AppendEmpty().Attributes())
		link := s.Links().AppendEmpty()
		fill(link.Attributes())
		link.SetTraceID([16]byte{1})
		s.Status().SetMessage("m")
		s.SetParentSpanID([8]byte{1})
		s.SetFlags(7)
		s.TraceState().FromRaw("a=b")
	}
	encoded, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(tr)
	if err != nil {
		t.Fatal(err)
	}
	return encodeLogs(t, l), encoded
}

func TestEveryValueIsStoredAsTheReferenceDoes(t *testing.T) {
	logs, traces := everyValue(t)
	if !sameLogs(t, logs) || !sameTraces(t, traces) {
		t.Error("not compared")
	}
}

// Encoders may write fields in any order, in pieces, and several times.
func TestFieldsInAnyOrder(t *testing.T) {
	field := func(number int32, content ...[]byte) []byte {
		return appendField(nil, number, bytes.Join(content, nil))
	}
	attribute := func(number int32, key, val string) []byte {
		return field(number, field(1, []byte("other")), field(2, field(1, []byte(val))), field(1, []byte(key)))
	}
	record := field(2, field(5, field(1, []byte("first"))), field(5, field(1, []byte("last"))), appendVarint(nil, 99, 5))
	scope := field(2, record, field(1, field(1, []byte("na"))), record, field(1, field(2, []byte("1"))), field(1, field(1, []byte("name"))))
	request := field(1, scope, field(1, attribute(1, "service.name", "a")), scope, field(1, attribute(1, "os", "b"), attribute(1, "tenant", "forged")))
	if !sameLogs(t, request) {
		t.Error("logs: not compared")
	}
	old := field(1, field(1000, record, field(1, field(1, []byte("lib")))))
	if !sameLogs(t, old) || !sameLogs(t, append(old, request...)) {
		t.Error("logs with libraries: not compared")
	}
	id := func(number int32, n int) []byte { return field(number, bytes.Repeat([]byte{1}, n)) }
	span := field(2, attribute(9, "tenant", "forged"), id(2, 8), attribute(9, "k", "v"), id(1, 16), attribute(9, "tenant", "again"))
	scope = field(2, span, field(1, attribute(3, "tenant", "forged")), field(1, field(1, []byte("name"))), span)
	for _, request := range [][]byte{
		field(1, scope, field(1, attribute(1, "tenant", "forged")), field(1, attribute(1, "k", "v"))),
		field(1, field(1000, span)),
		field(1, field(1000, span), scope),
		field(1, scope),
	} {
		if !sameTraces(t, request) {
			t.Error("traces: not compared")
		}
	}
	entries := field(2, field(2, []byte("line")), field(3, field(2, []byte("v")), field(1, []byte("k"))), field(1, appendVarint(nil, 2, 5)))
	if !samePush(t, protoRaw(field(1, entries, field(1, []byte(`{a="b"}`)), entries))) {
		t.Error("push: not compared")
	}
}

func TestBufferKeepsSizesOfEveryLength(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 1 << 14, 1<<21 - 1, 1 << 21, 1 << 22} {
		b := wireBuffer("x")
		mark := b.begin(2)
		b = append(b, strings.Repeat("y", n)...)
		b.end(mark)
		number, _, tag := protowire.ConsumeTag(b[1:])
		content, size := protowire.ConsumeBytes(b[1+tag:])
		if number != 2 || len(content) != n || 1+tag+size != len(b) || strings.Trim(string(content), "y") != "" {
			t.Errorf("%d bytes: %d, %d", n, len(content), size)
		}
	}
}

func TestTimestamps(t *testing.T) {
	for _, at := range []time.Time{
		time.Unix(0, 1), time.Unix(1, 0), time.Unix(-1, 999), time.Unix(1700000000, 123456789),
		time.Date(1700, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(2200, 1, 1, 0, 0, 0, 1, time.UTC),
	} {
		if got, ok := readTimestamp(appendTimestamp(nil, at.UnixNano())); !ok || got != at.UnixNano() {
			t.Errorf("%s: %d", at, got)
		}
	}
	for name, c := range map[string]struct {
		body []byte
		want int64
		ok   bool
	}{
		"none":             {nil, noTime, true},
		"year 1":           {appendVarint(nil, 1, 1<<64+minSeconds), noTime, true},
		"year 1, later":    {appendVarint(nil, 1, 1<<64+minSeconds+1), noTime + 1, true},
		"year 9999":        {appendVarint(nil, 1, maxSeconds-1), math.MaxInt64, true},
		"year 10000":       {appendVarint(nil, 1, maxSeconds), 0, false},
		"negative nanos":   {appendVarint(nil, 2, math.MaxUint64), 0, false},
		"too many nanos":   {appendVarint(nil, 2, 1e9), 0, false},
		"not a number":     {appendField(nil, 1, "x"), 0, false},
		"cut off":          {[]byte{8}, 0, false},
		"something beside": {appendField(appendVarint(nil, 1, 1), 9, "x"), 1e9, true},
	} {
		if got, ok := readTimestamp(c.body); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %d %v", name, got, ok)
		}
	}
}
