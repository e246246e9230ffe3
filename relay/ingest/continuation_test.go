package ingest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/relay/fault"
)

const (
	sdkError = "[restate][2026-11-23T03:14:00.999Z][Flaky/terminal][" + id + "] ERROR: about to fail"
	frame    = "    at Object.terminal (file:///srv/app/services.mjs:110:13)"
)

// sends pushes lines as one stream and returns what is stored of them.
func (f *fixture) sends(t *testing.T, labels string, lines ...push.Entry) []push.Entry {
	t.Helper()
	f.logs.bodies = nil
	if w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: labels, Entries: lines})); w.Code != http.StatusNoContent {
		t.Fatal(w.Code, w.Body)
	}
	return f.logs.streams(t)[0].Entries
}

func meta(e push.Entry, name string) string {
	for _, l := range e.StructuredMetadata {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

func TestContinuationLines(t *testing.T) {
	for name, c := range map[string]struct {
		lines []push.Entry
		ids   string // one letter a line: i the id of sdkError, - none
	}{
		"a stack trace":                    {[]push.Entry{pushed(sdkError), pushed(" TerminalError: x"), pushed(frame), pushed("}")}, "iiii"},
		"the next record":                  {[]push.Entry{pushed(sdkError), pushed(frame), pushed(`{"level":"INFO"}`), pushed("  more of it")}, "ii--"},
		"nothing to continue":              {[]push.Entry{pushed(frame), pushed(sdkError), pushed(frame)}, "-ii"},
		"a record by what its sender says": {[]push.Entry{pushed(sdkError), pushed("plain", push.LabelAdapter{Name: "level", Value: "x"}), pushed("more")}, "i--"},
	} {
		t.Run(name, func(t *testing.T) {
			var ids strings.Builder
			for _, e := range newFullFixture(t).sends(t, `{a="b"}`, c.lines...) {
				switch meta(e, correlate.MetaInvocationID) {
				case id:
					ids.WriteByte('i')
					for name, want := range map[string]string{correlate.MetaTarget: "Flaky/terminal", correlate.MetaLevel: "ERROR", correlate.MetaTraceID: traceOf("acme", id).ID} {
						if got := meta(e, name); got != want {
							t.Errorf("%s: %s is %q, want %q", e.Line, name, got, want)
						}
					}
				case "":
					ids.WriteByte('-')
				}
			}
			if ids.String() != c.ids {
				t.Errorf("got %s, want %s", &ids, c.ids)
			}
		})
	}
}

// Nobody asked for it.
func TestContinuationLinesAreOffByDefault(t *testing.T) {
	if got := newFixture(t).sends(t, `{a="b"}`, pushed(sdkError), pushed(frame))[1].StructuredMetadata; len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// A pretty record whose lines come one by one: its later lines tell more.
func TestContinuationOfPretty(t *testing.T) {
	var lines []push.Entry
	for _, line := range recordedLines(t, "restate-pretty.log")[111:129] {
		lines = append(lines, pushed(line))
	}
	stored := newFullFixture(t).sends(t, `{a="b"}`, lines...)
	last := stored[len(stored)-1]
	for name, want := range map[string]string{
		correlate.MetaInvocationID: "inv_1bSX5NHO3nPA5xSd1KjNxHe9MVSytWTy14", correlate.MetaTarget: "Flaky/sometimes", correlate.MetaErrorCode: "RT0007", correlate.MetaLevel: "WARN",
	} {
		if got := meta(last, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestContinuationInTheNextRequest(t *testing.T) {
	now := time.Unix(1000, 0)
	f := newFullFixture(t)
	f.opts.Now = func() time.Time { return now }
	continued := func(labels string) bool {
		return meta(f.sends(t, labels, pushed(frame))[0], correlate.MetaInvocationID) == id
	}

	f.sends(t, `{a="b"}`, pushed(sdkError))
	if continued(`{a="other"}`) {
		t.Error("another stream continues it")
	}
	for range 2 {
		if !continued(`{a="b"}`) {
			t.Error("the stream doesn't continue it")
		}
	}
	now = now.Add(continueWithin + 1)
	if continued(`{a="b"}`) {
		t.Error("it is continued after a long time")
	}

	f.sends(t, `{a="b"}`, pushed(sdkError))
	f.logs.err = http.ErrServerClosed
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{pushed(frame), pushed(`{"level":"INFO"}`)}}))
	if w.Code != http.StatusServiceUnavailable {
		t.Fatal(w.Code, w.Body)
	}
	f.logs.err = nil
	if !continued(`{a="b"}`) {
		t.Error("what wasn't stored ends it")
	}
	f.sends(t, `{a="b"}`, pushed(`{"level":"INFO"}`))
	if continued(`{a="b"}`) {
		t.Error("another record doesn't end it")
	}
}

// What continues a refused record doesn't continue the one before it.
func TestContinuationOfARefusedRecord(t *testing.T) {
	f := newFullFixture(t)
	f.opts.MaxItemBytes = 200
	body := protoPush(t, push.Stream{Labels: `{a="b"}`, Entries: []push.Entry{
		pushed(sdkError), pushed("[restate]" + strings.Repeat("x", 200)), pushed(frame),
	}})
	if w := do(f.LokiPush, fault.Plain, header(), body); w.Code != http.StatusBadRequest {
		t.Fatal(w.Code, w.Body)
	}
	if got := f.logs.streams(t)[0].Entries[1]; got.Line != frame || len(got.StructuredMetadata) != 0 {
		t.Errorf("got %v", got)
	}
}

// What we add doesn't make a request too large that wasn't.
func TestContinuationIsBounded(t *testing.T) {
	const n = 4000
	lines := []push.Entry{pushed(sdkError)}
	for range n {
		lines = append(lines, pushed(""))
	}
	stored := newFullFixture(t).sends(t, `{a="b"}`, lines...)
	if len(stored) != n+1 || meta(stored[1], correlate.MetaInvocationID) != id || meta(stored[n], correlate.MetaInvocationID) != "" {
		t.Errorf("%d entries, of which the last has %v", len(stored), stored[len(stored)-1].StructuredMetadata)
	}
}

// Records that an OpenTelemetry SDK sends are whole, whatever they begin with; lines
// that a collector read from a file aren't.
func TestContinuationOfOTLP(t *testing.T) {
	f := newFullFixture(t)
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i, line := range []string{sdkError, frame, "payment declined", "more"} {
		r := records.AppendEmpty()
		r.Body().SetStr(line)
		r.SetObservedTimestamp(5)
		if i == 2 {
			r.SetSeverityNumber(plog.SeverityNumberError)
		}
	}
	if w := do(f.OTLPLogs, fault.OTLP, header("Content-Type", typeProtobuf), encodeLogs(t, logs)); w.Code != http.StatusOK {
		t.Fatal(w.Code, w.Body)
	}
	var got []bool
	for _, e := range f.logs.streams(t)[0].Entries {
		got = append(got, meta(e, correlate.MetaInvocationID) == id)
	}
	if len(got) != 4 || !got[0] || !got[1] || got[2] || got[3] {
		t.Errorf("got %v", got)
	}
}

func TestTraceIsAskedForOnce(t *testing.T) {
	const other = "inv_1lx0wDO903kp4Qm4Z3gkn7I1G9xt71xTdn"
	f := newFixture(t)
	asked := map[string]int{}
	f.opts.TraceOf = func(tenant, invocationID string) Trace {
		asked[tenant+" "+invocationID]++
		return Trace{ID: "trace-of-" + invocationID}
	}
	stored := f.sends(t, `{a="b"}`,
		pushed(id), pushed(other), pushed(id), pushed(other), pushed("none"),
		pushed(id, push.LabelAdapter{Name: "trace_id", Value: "given"}),
		pushed("x", push.LabelAdapter{Name: "restate_invocation_id", Value: id}),
		pushed("x", push.LabelAdapter{Name: "restate_invocation_id", Value: "nonsense"}))
	want := []string{"trace-of-" + id, "trace-of-" + other, "trace-of-" + id, "trace-of-" + other, "", "given", "trace-of-" + id, ""}
	for i, e := range stored {
		if got := meta(e, correlate.MetaTraceID); got != want[i] {
			t.Errorf("%d: got %q, want %q", i, got, want[i])
		}
	}
	if len(asked) != 2 || asked["acme "+id] != 1 || asked["acme "+other] != 1 {
		t.Errorf("asked %v", asked)
	}
	f.sends(t, `{a="b"}`, pushed(id))
	if asked["acme "+id] != 2 {
		t.Error("a request remembers another's traces")
	}
}
