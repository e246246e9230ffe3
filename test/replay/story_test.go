//go:build integration

package replay

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"

	api "github.com/invoscope/invoscope/relay/invocation"
	"github.com/invoscope/invoscope/test/harness"
)

func fetch[T any](t *testing.T, c harness.Client, path string) (v T, err error) {
	t.Helper()
	body, err := c.Get(t.Context(), path, "application/json")
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal(body, &v)
}

// TestStories sends two tenants the same recording, at different times and with a
// user's service besides, and reads every invocation's story through the API.
func TestStories(t *testing.T) {
	config := filepath.Join(t.TempDir(), "invoscope.yaml")
	if err := os.WriteFile(config, []byte("grafana: {url: 'https://grafana.example.com'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := harness.Start(t, "--config", config)
	tenants := map[string]*tenant{
		"default": {Client: d.Client(), recording: load(t, time.Minute)},
		"globex": {
			Client:    d.ClientFor("globex", "invocations:read", "logs:read", "logs:write", "traces:read", "traces:write"),
			recording: load(t, 40*time.Minute),
		},
	}
	for name, tn := range tenants {
		way := overGRPC(d.OTLPGRPC, "")
		tn.send(t, []export{way, way})
		token, err := tn.Token()
		if err != nil {
			t.Fatal(err)
		}
		spans, logs := userService(tn.recording.traces, name)
		way(t, token, spans)
		exportLogs(t, d.OTLPGRPC, token, plogotlp.NewExportRequestFromLogs(logs))
	}
	for name, tn := range tenants {
		t.Run(name, func(t *testing.T) {
			tn.awaitStories(t)
			for _, i := range tn.invocations {
				t.Run(i.ID, func(t *testing.T) { tn.checkStory(t, name, i) })
			}
		})
	}
}

// awaitStories waits until the last of what was sent is visible.
func (tn *tenant) awaitStories(t *testing.T) {
	t.Helper()
	harness.Poll(t, visibleLimit, "every invocation's story is complete", func() error {
		var all error
		for _, i := range tn.invocations {
			tl, err := fetch[api.Timeline](t, tn.Client, invocationsPath+"/"+i.ID+"/timeline?limit=5000")
			if err == nil && len(tl.Events) < tn.expected(t, i).events() {
				err = fmt.Errorf("%s has %d events, want %d", i.ID, len(tl.Events), tn.expected(t, i).events())
			}
			all = errors.Join(all, err)
		}
		return all
	})
}

// story is what a timeline must hold.
type story struct {
	lines    []string // the server's
	own      int      // spans that name it
	attempts int
}

func (s story) events() int { return len(s.lines) + s.own + 2*s.attempts }

func (tn *tenant) expected(t *testing.T, i invocation) story {
	var s story
	for _, line := range tn.containing(i.ID) {
		id := current(t, line)
		if id == i.ID || id == "" && strings.Index(line, "inv_1") == strings.Index(line, i.ID) {
			s.lines = append(s.lines, line)
		}
	}
	if len(i.traceIDs()) > 0 {
		s.own = i.Spans.Total
		s.attempts = i.Spans.Kinds["invocation-attempt"]
	}
	return s
}

// checkStory reads all that the API says of one invocation.
func (tn *tenant) checkStory(t *testing.T, name string, i invocation) {
	want := tn.expected(t, i)
	path := invocationsPath + "/" + i.ID
	facts, err := fetch[api.Invocation](t, tn.Client, path)
	if err != nil {
		t.Fatal(err)
	}
	if facts.AttemptsSeen != want.attempts || facts.Target != i.Target || len(facts.Traces) != len(i.traceIDs()) || facts.Caller != i.Caller {
		t.Errorf("%+v, want %d attempts, target %s, traces %v, caller %s", facts, want.attempts, i.Target, i.traceIDs(), i.Caller)
	}
	tl, err := fetch[api.Timeline](t, tn.Client, path+"/timeline?limit=5000")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	own, users := 0, 0
	for _, e := range tl.Events {
		switch {
		case e.Relation != "self" || e.Invocation != i.ID:
			t.Errorf("an event of %s, %s", e.Invocation, e.Relation)
		case e.Log != nil && e.Log.Labels["tenant"] != name:
			t.Errorf("%s reads a line of %s", name, e.Log.Labels["tenant"])
		case e.Log != nil && e.Log.Labels["service_name"] == "shop":
			users++
			if want := name + " " + i.ID[:12]; e.Log.Line != want {
				t.Errorf("the service's line is %q, want %q", e.Log.Line, want)
			}
		case e.Log != nil:
			lines = append(lines, e.Log.Line)
		case e.Span.Service == "shop":
			users++
		default:
			own++
		}
	}
	if !slices.IsSortedFunc(tl.Events, func(x, y api.Event) int { return x.Time.Compare(y.Time) }) {
		t.Error("the events aren't in order")
	}
	if err := same(want.lines, lines); err != nil {
		t.Errorf("lines: %v", err)
	}
	if own != want.own || users != 2*want.attempts {
		t.Errorf("%d spans and %d of the service's events, want %d and %d", own, users, want.own, 2*want.attempts)
	}
	tn.checkWays(t, path, tl)
}

// checkWays sees that pages and streams tell the same.
func (tn *tenant) checkWays(t *testing.T, path string, whole api.Timeline) {
	t.Helper()
	var paged []api.Event
	for cursor, more := "", true; more; more = cursor != "" {
		page, err := fetch[api.Timeline](t, tn.Client, path+"/timeline?limit=6&cursor="+cursor)
		if err != nil {
			t.Fatal(err)
		}
		paged, cursor = append(paged, page.Events...), page.Next
	}
	body, err := tn.Get(t.Context(), path+"/timeline", "application/x-ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var streamed []api.Event
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); { // lines of the recording are short
		var e api.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind != "" {
			streamed = append(streamed, e)
		}
	}
	for way, events := range map[string][]api.Event{"pages": paged, "a stream": streamed} {
		got, errGot := json.Marshal(events)
		want, errWant := json.Marshal(whole.Events)
		if err := errors.Join(errGot, errWant); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s tell something else than one page: %d events, want %d (%v)", way, len(events), len(whole.Events), err)
		}
	}
	links, err := fetch[api.Links](t, tn.Client, path+"/links")
	if err != nil || !strings.HasPrefix(links.Logs, "https://grafana.example.com/explore?") {
		t.Errorf("links %v, %v", links, err)
	}
}

// userService is what a user's service sends: below every attempt a span, and a
// line that names it.
func userService(batches []ptrace.Traces, name string) (ptrace.Traces, plog.Logs) {
	traces, logs := ptrace.NewTraces(), plog.NewLogs()
	rs, rl := traces.ResourceSpans().AppendEmpty(), logs.ResourceLogs().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "shop")
	rl.Resource().Attributes().PutStr("service.name", "shop")
	spans, records := rs.ScopeSpans().AppendEmpty().Spans(), rl.ScopeLogs().AppendEmpty().LogRecords()
	for _, batch := range batches {
		for _, attempt := range harness.Spans(batch) {
			id, _ := attempt.Attributes[idKey].(string)
			if !strings.HasPrefix(attempt.Name, "invocation-attempt") {
				continue
			}
			s := spans.AppendEmpty()
			var traceID pcommon.TraceID
			var parentID pcommon.SpanID
			_, _ = hex.Decode(traceID[:], []byte(attempt.TraceID))
			_, _ = hex.Decode(parentID[:], []byte(attempt.SpanID))
			s.SetTraceID(traceID)
			s.SetParentSpanID(parentID)
			s.SetSpanID(pcommon.SpanID{0xee, 7: byte(spans.Len())})
			s.SetName("handle")
			s.SetStartTimestamp(pcommon.NewTimestampFromTime(attempt.Start))
			s.SetEndTimestamp(pcommon.NewTimestampFromTime(attempt.End))
			r := records.AppendEmpty()
			r.SetTimestamp(s.StartTimestamp())
			r.SetTraceID(s.TraceID())
			r.SetSpanID(s.SpanID())
			r.Body().SetStr(name + " " + id[:12])
		}
	}
	return traces, logs
}
