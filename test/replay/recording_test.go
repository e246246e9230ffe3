//go:build integration

package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/test/harness"
)

const timeLayout = "2006-01-02T15:04:05.000000Z"

// recording is one run of a real Restate server, moved in time.
type recording struct {
	lines       []string // the server's log
	traces      []ptrace.Traces
	invocations []invocation
	zeroSpans   int // spans without ids, which nobody can store
}

// invocation is what invocations.json knows of one.
type invocation struct {
	ID       string   `json:"invocation_id"`
	Target   string   `json:"target"`
	Caller   string   `json:"caller_invocation_id"`
	Status   string   `json:"status"`    // completed, suspended or paused
	Result   string   `json:"result"`    // of a completed one: success or failure
	TraceIDs []string `json:"trace_ids"` // "" for one that wasn't sampled
	Spans    struct {
		Total int            `json:"total"`
		Kinds map[string]int `json:"by_kind"`
	} `json:"spans"`
	SpansInTrace map[string]int `json:"spans_in_trace"`
	LogLines     struct {
		Containing int `json:"containing_id"`
	} `json:"restate_log_lines"`
}

// traceIDs are the traces that can be found.
func (i invocation) traceIDs() []string {
	ids := slices.DeleteFunc(slices.Clone(i.TraceIDs), func(id string) bool { return id == "" })
	slices.Sort(ids)
	return ids
}

// load reads the recording and moves it so that it ended ago.
func load(t *testing.T, ago time.Duration) recording {
	t.Helper()
	var truth struct {
		Runs map[string]struct {
			LogFile     string       `json:"log_file"`
			TraceFiles  []string     `json:"trace_files"`
			ZeroSpans   int          `json:"spans_zero_trace_id"`
			Invocations []invocation `json:"invocations"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(read(t, "invocations.json"), &truth); err != nil {
		t.Fatal(err)
	}
	run := truth.Runs["debug"]
	r := recording{invocations: run.Invocations, zeroSpans: run.ZeroSpans}
	raw := readLines(t, run.LogFile)
	shift := time.Now().Add(-ago).Sub(lineTime(t, raw[len(raw)-1])).Truncate(time.Microsecond)
	for _, line := range raw {
		at := lineTime(t, line)
		old, moved := at.Format(timeLayout), at.Add(shift).UTC().Format(timeLayout)
		r.lines = append(r.lines, strings.Replace(line, old, moved, 1))
	}
	for _, name := range run.TraceFiles {
		traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(read(t, name))
		if err != nil {
			t.Fatal(err)
		}
		move(traces, shift)
		r.traces = append(r.traces, traces)
	}
	return r
}

// containing returns the lines that contain text, in their order.
func (r recording) containing(text string) []string {
	return slices.DeleteFunc(slices.Clone(r.lines), func(line string) bool { return !strings.Contains(line, text) })
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(harness.Root(t), "testdata", "restate", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readLines(t *testing.T, name string) []string {
	t.Helper()
	var lines []string
	scanner := bufio.NewScanner(bytes.NewReader(read(t, name)))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func lineTime(t *testing.T, line string) time.Time {
	t.Helper()
	var record struct {
		Timestamp time.Time `json:"timestamp"`
	}
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return record.Timestamp
}

// move shifts every time of a batch of spans.
func move(traces ptrace.Traces, shift time.Duration) {
	at := func(ts pcommon.Timestamp) pcommon.Timestamp {
		return pcommon.NewTimestampFromTime(ts.AsTime().Add(shift))
	}
	for _, rs := range traces.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				span.SetStartTimestamp(at(span.StartTimestamp()))
				span.SetEndTimestamp(at(span.EndTimestamp()))
				for _, event := range span.Events().All() {
					event.SetTimestamp(at(event.Timestamp()))
				}
			}
		}
	}
}

const idKey = "restate.invocation.id"

// current returns the invocation that a JSON line is about, by the rule of the
// documentation, slowly: the id in span, then in the innermost of spans, then in
// fields; "" when it stands in none of them.
func current(t *testing.T, line string) string {
	t.Helper()
	var record struct {
		Span, Fields map[string]any
		Spans        []map[string]any
	}
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	slices.Reverse(record.Spans)
	for _, place := range slices.Concat([]map[string]any{record.Span}, record.Spans, []map[string]any{record.Fields}) {
		if id, ok := place[idKey].(string); ok {
			return id
		}
	}
	return ""
}
