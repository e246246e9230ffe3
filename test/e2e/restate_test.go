//go:build integration

package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/test/harness"
)

// visibleWithin bounds the way from Restate into a query's answer. Restate
// exports its first spans about 10 s after its start, and later ones every 5 s.
const visibleWithin = 90 * time.Second

// derivedField is the published regex of Grafana's derived field.
var derivedField = regexp.MustCompile(`"restate.invocation.id":"(.+?)"`)

// TestRestate has a real Restate run every kind of invocation, and finds the
// trace and the log lines of each through the public port.
func TestRestate(t *testing.T) {
	service := buildService(t)
	for _, tc := range []struct {
		name     string
		endpoint func(harness.Addresses) string // RESTATE_TRACING_ENDPOINT
	}{
		{"OTLP HTTP", func(a harness.Addresses) string { return "otlp+" + a.OTLPHTTP + "/v1/traces" }},
		{"OTLP gRPC", func(a harness.Addresses) string { return "http://" + a.OTLPGRPC }},
		{"public port HTTP", func(a harness.Addresses) string { return "otlp+" + a.HTTP + "/v1/traces" }},
		{"public port gRPC", func(a harness.Addresses) string { return a.HTTP }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			daemon := harness.Start(t)
			client := daemon.Client()
			restate := startRestate(t, client, tc.endpoint(daemon.Addresses))
			restate.register(t, startService(t, service))
			invocations := drive(t, restate)

			harness.Poll(t, visibleWithin, "every trace, with Restate running", func() error {
				return checkEach(invocations, func(in invocation) error { return checkTrace(t, client, in) })
			})
			checkRelations(t, client, invocations)

			restate.stop(t)
			harness.Poll(t, visibleWithin, "every log line, after the shipper ended", func() error {
				return checkEach(invocations, func(in invocation) error { return checkLogs(t, client, in, restate.lines()) })
			})
			checkDerivedField(t, client, invocations)
			t.Logf("%d invocations, %d log lines", len(invocations), len(restate.lines()))
		})
	}
}

// checkEach returns the first failure: its caller tries again anyway.
func checkEach(invocations map[string]invocation, check func(invocation) error) error {
	for target, in := range invocations {
		if err := check(in); err != nil {
			return fmt.Errorf("%s (%s): %w", target, in.ID, err)
		}
	}
	return nil
}

// checkTrace compares the trace that the published TraceQL query finds with
// what Restate does for the target.
func checkTrace(t *testing.T, client harness.Client, in invocation) error {
	found, err := client.Search(t.Context(), traceQuery(in.ID))
	if err != nil {
		return err
	}
	if diff := cmp.Diff([]string{in.traceID}, found); diff != "" {
		return fmt.Errorf("trace ids (-want +got):\n%s", diff)
	}
	spans, err := spansOf(t, client, in)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(in.expected.spans, kinds(spans)); diff != "" {
		return fmt.Errorf("spans (-want +got):\n%s", diff)
	}
	end := spanNamed(spans, "invocation-end")
	if result := end.Attributes["restate.invocation.result"]; result != in.Result {
		return fmt.Errorf("end span says %v, Restate says %s", result, in.Result)
	}
	return nil
}

// checkRelations looks at how a call and a send hang on their caller.
func checkRelations(t *testing.T, client harness.Client, invocations map[string]invocation) {
	t.Helper()
	for target, in := range invocations {
		if in.CallerID == "" {
			continue
		}
		caller := invocations[in.expected.caller]
		if caller.ID != in.CallerID {
			t.Errorf("%s was invoked by %s, want %s", target, in.CallerID, caller.ID)
		}
		theirs, err := spansOf(t, client, caller)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := spansOf(t, client, in)
		if err != nil {
			t.Fatal(err)
		}
		attempt, start := spanNamed(theirs, "invocation-attempt"), spanNamed(ours, "invocation-start")
		if in.expected.oneWay {
			want := []harness.Link{{TraceID: attempt.TraceID, SpanID: attempt.SpanID}}
			if diff := cmp.Diff(want, start.Links); diff != "" || start.ParentID != "" {
				t.Errorf("%s: parent %q, links to its caller's attempt (-want +got):\n%s", target, start.ParentID, diff)
			}
		} else if start.ParentID != attempt.SpanID {
			t.Errorf("%s: parent %q, want its caller's attempt %q", target, start.ParentID, attempt.SpanID)
		}
	}
}

// checkLogs compares what logcli finds with what Restate wrote, for the
// published line filter and for the structured metadata.
func checkLogs(t *testing.T, client harness.Client, in invocation, written []string) error {
	mentions := func(line string) bool { return strings.Contains(line, in.ID) }
	isCurrent := func(line string) bool { return currentID(line) == in.ID }
	for _, q := range []struct {
		query string
		match func(string) bool
	}{
		{lineFilter(in.ID), mentions},
		{fmt.Sprintf(`{kubernetes_container_name="restate"} | restate_invocation_id="%s"`, in.ID), isCurrent},
		{fmt.Sprintf(`{kubernetes_container_name="restate",cluster="e2e"} | restate_invocation_id="%s"`, in.ID), isCurrent},
	} {
		got, err := client.LogLines(t, q.query)
		if err != nil {
			return err
		}
		var want []string
		for _, line := range written {
			if q.match(line) {
				want = append(want, line)
			}
		}
		// Restate's threads don't write in the order of their timestamps.
		slices.Sort(want)
		slices.Sort(got)
		if len(want) == 0 {
			return fmt.Errorf("Restate wrote no line for %s", q.query)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("%s: lines (-want +got):\n%s", q.query, diff)
		}
	}
	return nil
}

// checkDerivedField goes the way of a Grafana user: from a line of the logs to
// the trace, with nothing but the published regex and query.
func checkDerivedField(t *testing.T, client harness.Client, invocations map[string]invocation) {
	t.Helper()
	traces := map[string]string{}
	for _, in := range invocations {
		traces[in.ID] = in.traceID
	}
	for target, in := range invocations {
		lines, err := client.LogLines(t, lineFilter(in.ID))
		if err != nil {
			t.Fatal(err)
		}
		linked := map[string]bool{}
		for _, line := range lines {
			if match := derivedField.FindStringSubmatch(line); match != nil {
				linked[match[1]] = true
			}
		}
		if !linked[in.ID] {
			t.Errorf("%s: no line links to %s", target, in.ID)
		}
		for id := range linked {
			found, err := client.Search(t.Context(), traceQuery(id))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{traces[id]}, found); diff != "" {
				t.Errorf("%s: link to %s (-want +got):\n%s", target, id, diff)
			}
		}
	}
}

// spansOf are the invocation's own spans in its trace.
func spansOf(t *testing.T, client harness.Client, in invocation) ([]harness.Span, error) {
	spans, err := client.Trace(t.Context(), in.traceID)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(spans, func(span harness.Span) bool {
		return span.Attributes["restate.invocation.id"] != in.ID
	}), nil
}

// kinds lists what spans are, as [expectation] does.
func kinds(spans []harness.Span) string {
	var list []string
	for _, span := range spans {
		kind, _, _ := strings.Cut(strings.TrimPrefix(span.Name, "invocation-"), " ")
		if span.Failed {
			kind += " failed"
		}
		list = append(list, kind)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// spanNamed is the first span of a kind, or an empty one.
func spanNamed(spans []harness.Span, kind string) harness.Span {
	for _, span := range spans {
		if strings.HasPrefix(span.Name, kind+" ") {
			return span
		}
	}
	return harness.Span{}
}

// traceQuery is the published TraceQL query.
func traceQuery(id string) string { return fmt.Sprintf(`{ .restate.invocation.id="%s" }`, id) }

// lineFilter is the published LogQL query.
func lineFilter(id string) string {
	return fmt.Sprintf(`{kubernetes_container_name="restate"} |= "%s"`, id)
}
