package timeline

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/relay/invocation"
)

var update = flag.Bool("update", false, "write the golden files anew")

// recording is what the API told of a story, see cmd/invoscope/testdata.
func recording(t testing.TB, when, name string) Told {
	t.Helper()
	base := filepath.Join("..", "..", "testdata", "invocation", when, name)
	var told Told
	content, err := os.ReadFile(base + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &told.Invocation); err != nil {
		t.Fatal(err)
	}
	if content, err = os.ReadFile(base + ".ndjson"); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		var e invocation.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind != "" {
			told.Events = append(told.Events, &e)
		}
	}
	return told
}

// options are those of somebody who looks a little after the recording.
func options() Options {
	return Options{Now: time.Date(2026, 11, 25, 3, 21, 0, 0, time.UTC), Level: "DEBUG"}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; go test -update writes it anew):\n%s", path, diff)
	}
}

func write(t *testing.T, told Told, o Options) string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, told, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A terminal's width cuts lines, and nothing else does.
func TestWriteWithin80Columns(t *testing.T) {
	o := options()
	o.Width = 80
	got := write(t, recording(t, "after", "order"), o)
	for line := range strings.Lines(got) {
		if n := columns(strings.TrimSuffix(line, "\n")); n > o.Width {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	golden(t, "order-80", got)
}

// Spans come late or never. Then the log lines tell of the attempts.
func TestWriteWithoutSpans(t *testing.T) {
	for _, name := range []string{"order", "storm"} {
		told := recording(t, map[string]string{"order": "after", "storm": "during"}[name], name)
		told.Events = slices.DeleteFunc(told.Events, func(e *invocation.Event) bool { return e.Span != nil })
		o := options()
		o.Level = "WARN"
		golden(t, name+"-without-spans", write(t, told, o))
	}
}

// At INFO, only spans tell of healthy attempts.
func TestWriteWithoutLines(t *testing.T) {
	told := recording(t, "after", "signature")
	told.Events = slices.DeleteFunc(told.Events, func(e *invocation.Event) bool { return e.Log != nil })
	told.Gaps = []string{"Loki can't be asked"}
	golden(t, "signature-without-lines", write(t, told, options()))
}

func TestWriteNothing(t *testing.T) {
	golden(t, "nothing", write(t, Told{Invocation: invocation.Invocation{Summary: invocation.Summary{ID: "inv_1x", Outcome: "unknown"}}}, options()))
}

// What was there is told as a tree, what comes as it comes.
func TestLive(t *testing.T) {
	before, after := recording(t, "during", "order"), recording(t, "after", "order")
	o := options()
	o.Level = "INFO"
	var out bytes.Buffer
	live, err := NewLive(&out, before, o)
	if err != nil {
		t.Fatal(err)
	}
	// Lines are told at once and spans when they have ended.
	late := slices.Clone(after.Events)
	slices.SortStableFunc(late, func(a, b *invocation.Event) int { return strings.Compare(a.Kind, b.Kind) })
	for range 2 {
		for _, e := range late {
			if err := live.Add(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := live.End(after.Invocation, []string{"something"}); err != nil {
		t.Fatal(err)
	}
	golden(t, "order-live", out.String())
}

// Who writes log lines and spans doesn't command the terminal.
func TestNothingHostileReachesTheTerminal(t *testing.T) {
	const evil = "\x1b]0;pwned\x07\x1b[2J\u009b31m\r\u202e\b"
	now := options().Now
	told := Told{
		Invocation: invocation.Invocation{
			Summary: invocation.Summary{
				ID: "inv_1" + evil, Target: evil, Outcome: evil, FirstSeen: now,
				Error: &invocation.Error{At: now, Code: evil, Status: evil, Message: evil + "\n" + evil},
			},
			Origin: "send", Caller: evil, Deployment: evil, Gaps: []string{evil},
			Callees: []invocation.Callee{{ID: evil, Origin: evil}}, Traces: []invocation.Trace{{ID: evil}},
		},
		Gaps: []string{evil},
	}
	span := func(name, parent, status string) *invocation.SpanEvent {
		return &invocation.SpanEvent{SpanID: name, ParentSpanID: parent, Service: evil, Name: name + evil, End: now, Status: status, Message: evil + "\n" + evil,
			Attributes: map[string]any{"restate.invocation.error.code": evil, "restate.invocation.target": evil},
			Events:     []invocation.SpanPoint{{Time: now, Name: evil}, {Time: now, Name: pointPrefix + "new_command", Attributes: map[string]any{"restate.journal.command.type": evil, "restate.journal.command.name": evil}}}}
	}
	for _, id := range []string{told.Invocation.ID, "other" + evil} {
		for _, s := range []*invocation.SpanEvent{span(startSpan, "", "unset"), span(attemptSpan, startSpan, "error"), span(evil, attemptSpan, "error"), span(endSpan, startSpan, "error"), span(ingressSpan, "", "unset")} {
			told.Events = append(told.Events, &invocation.Event{Kind: "span", Time: now, Invocation: id, Relation: "callee", Span: s})
		}
		field, err := json.Marshal(map[string]any{"level": evil, "fields": map[string]any{"message": evil, "error": evil + "\n" + evil, evil: evil, "restate.error.code": evil}})
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{evil, string(field), "[restate][x] INFO: " + evil + "\n" + evil} {
			told.Events = append(told.Events, &invocation.Event{Kind: "log", Time: now, Invocation: id, Relation: "callee",
				Log: &invocation.LogEvent{Level: evil, Line: line, Metadata: map[string]string{"restate_error_code": evil}}})
		}
	}
	ours := regexp.MustCompile(`\x1b\[(0|1|2|3[1-6])m`)
	for _, o := range []Options{{}, {Style: Style{Color: true, Width: 60}}, {Style: Style{Raw: true, Color: true}}} {
		o.Now = now
		var out bytes.Buffer
		live, err := NewLive(&out, Told{Invocation: told.Invocation}, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range told.Events {
			if err := live.Add(e); err != nil {
				t.Fatal(err)
			}
		}
		for _, err := range []error{
			live.End(told.Invocation, told.Gaps), Write(&out, told, o), WriteFacts(&out, &told.Invocation, o),
			WriteList(&out, []invocation.Summary{told.Invocation.Summary}, ListOptions{Style: o.Style, Now: now}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		text := ours.ReplaceAllString(out.String(), "")
		if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && harmful(r) }); i >= 0 {
			t.Errorf("%+v: %q", o.Style, text[max(0, i-60):min(len(text), i+60)])
		}
	}
}

// longStorm is an invocation with n attempts that failed, as it is told while it is
// being retried.
func longStorm(n int) Told {
	start := time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC)
	told := Told{Invocation: invocation.Invocation{Summary: invocation.Summary{ID: "inv_1x", Outcome: "running"}}}
	for i := range n {
		at := start.Add(time.Duration(i) * time.Second)
		for j, line := range []string{
			`{"level":"DEBUG","fields":{"message":"Executing invocation at deployment"}}`,
			`{"level":"WARN","fields":{"message":"Invocation error, retrying in 1s.","error":"refused","restate.error.code":"RT0007"}}`,
		} {
			log := &invocation.LogEvent{Line: line}
			told.Events = append(told.Events, &invocation.Event{Kind: "log", Time: at.Add(time.Duration(j) * 100 * time.Millisecond), Log: log})
			if j == 0 && i%2 == 0 { // the other spans were lost
				span := &invocation.SpanEvent{SpanID: strconv.Itoa(i), Name: attemptSpan + "x", Status: "error", End: at.Add(99 * time.Millisecond)}
				told.Events = append(told.Events, &invocation.Event{Kind: "span", Time: at.Add(time.Microsecond), Span: span})
			}
		}
	}
	return told
}

func TestWriteLongStorm(t *testing.T) {
	o := options()
	o.Level = "WARN"
	got := write(t, longStorm(2000), o)
	for _, part := range []string{"2000 attempts", "1995 more attempts failed alike within 33m15s", "attempt 2000 ·", "waiting to be tried again"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q isn't in\n%s", part, got)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	told := longStorm(10_000)
	b.ReportAllocs()
	for b.Loop() {
		if err := Write(io.Discard, told, options()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLive(b *testing.B) {
	told := longStorm(2000)
	events := told.Events
	told.Events = nil
	b.ReportAllocs()
	for b.Loop() {
		live, err := NewLive(io.Discard, told, options())
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range events {
			if err := live.Add(e); err != nil {
				b.Fatal(err)
			}
		}
	}
}
