//go:build integration

package replay

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "google.golang.org/grpc/encoding/gzip" // registers gzip for exports

	"github.com/invoscope/invoscope/test/harness"
)

// The strings that Restate's users have, to the letter.
var (
	derivedField = regexp.MustCompile(`"restate.invocation.id":"(.+?)"`)
	traceQuery   = func(id string) string { return `{ .restate.invocation.id="` + id + `" }` }
	logQuery     = func(id string) string { return `{kubernetes_container_name="restate"} |= "` + id + `"` }
)

const (
	metadataQuery = `{kubernetes_container_name="restate"} | restate_invocation_id="%s"`
	relatedQuery  = `{kubernetes_container_name="restate"} | restate_related_invocation_ids=~"(.*,)?%s(,.*)?"`
	visibleLimit  = 60 * time.Second
)

// tenant is one of two that are fed the same recording, at different times.
type tenant struct {
	harness.Client
	recording
	traces map[string][]string // invocation id → what its published query found
}

func TestReplay(t *testing.T) {
	d := harness.Start(t)
	tenants := map[string]*tenant{
		"default": {Client: d.Client(), recording: load(t, time.Minute)},
		"globex": {
			Client:    d.ClientFor("globex", "logs:read", "logs:write", "traces:read", "traces:write"),
			recording: load(t, 40*time.Minute), // as after an outage of 40 minutes,
		},
	}
	// Between them the two tenants send each batch in every way.
	ways := map[string][]export{
		"default": {overHTTP(d.OTLPHTTP+"/v1/traces", "application/x-protobuf", ""), overGRPC(d.OTLPGRPC, "gzip")},
		"globex":  {overGRPC(strings.TrimPrefix(d.HTTP, "http://"), ""), overHTTP(d.HTTP+"/otlp/v1/traces", "application/json", "zstd")},
	}
	for name, tenant := range tenants {
		tenant.send(t, ways[name])
	}
	for name, tenant := range tenants {
		t.Run(name, func(t *testing.T) {
			tenant.awaitAll(t)
			for _, invocation := range tenant.invocations {
				t.Run(invocation.ID, func(t *testing.T) { tenant.check(t, invocation) })
			}
			tenant.checkTags(t, name)
		})
	}
	t.Logf("covered: %d tenants × %d invocations, %d lines and %d traces each", len(tenants),
		len(tenants["default"].invocations), len(tenants["default"].lines), len(tenants["default"].distinctTraces()))
}

func (tn *tenant) send(t *testing.T, ways []export) {
	t.Helper()
	ship(t, tn.Client, tn.lines)
	token, err := tn.Token()
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i, batch := range tn.recording.traces {
		refused += ways[i](t, token, batch)
	}
	if refused != tn.zeroSpans {
		t.Errorf("%d spans were reported as refused, want the %d without ids", refused, tn.zeroSpans)
	}
}

// awaitAll waits until everything that was acknowledged is visible, and sees
// that it is no more than that.
func (tn *tenant) awaitAll(t *testing.T) {
	t.Helper()
	harness.Poll(t, visibleLimit, "all lines are there", func() error {
		got, err := tn.LogLines(t, `{kubernetes_container_name="restate", cluster="recorded"}`)
		return errors.Join(err, same(tn.lines, got))
	})
	harness.Poll(t, visibleLimit, "all traces are there", func() error {
		got, err := tn.Search(t.Context(), "{}")
		return errors.Join(err, same(tn.distinctTraces(), got))
	})
}

func (tn *tenant) distinctTraces() []string {
	var ids []string
	for _, i := range tn.invocations {
		ids = append(ids, i.traceIDs()...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// check follows every link of one invocation.
func (tn *tenant) check(t *testing.T, i invocation) {
	want := tn.containing(i.ID)
	if len(want) != i.LogLines.Containing {
		t.Fatalf("the recording has %d lines, want %d", len(want), i.LogLines.Containing)
	}
	lines := tn.query(t, logQuery(i.ID))
	if err := same(want, lines); err != nil {
		t.Errorf("published line filter: %v", err)
	}
	// A line belongs to its current invocation and names the others as related.
	own := slices.DeleteFunc(slices.Clone(want), func(line string) bool { id := current(t, line); return id != i.ID && id != "" })
	if err := same(own, tn.query(t, fmt.Sprintf(metadataQuery, i.ID))); err != nil {
		t.Errorf("structured metadata: %v", err)
	}
	others := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return slices.Contains(own, line) })
	if err := same(others, tn.query(t, fmt.Sprintf(relatedQuery, i.ID))); err != nil {
		t.Errorf("related ids: %v", err)
	}
	tn.checkDerivedField(t, lines)
	tn.checkTraces(t, i, want)
}

// checkDerivedField does what Grafana does with each line: the id of its first
// match leads to the invocation's traces.
func (tn *tenant) checkDerivedField(t *testing.T, lines []string) {
	t.Helper()
	for _, line := range lines {
		match := derivedField.FindStringSubmatch(line)
		if match == nil {
			continue // the id stands in the text only
		}
		at := slices.IndexFunc(tn.invocations, func(i invocation) bool { return i.ID == match[1] })
		if at < 0 {
			t.Errorf("%s is no invocation", match[1])
			continue
		}
		if err := same(tn.invocations[at].traceIDs(), tn.search(t, match[1])); err != nil {
			t.Errorf("published query for %s: %v", match[1], err)
		}
	}
}

// checkTraces counts the spans of an invocation's traces and goes back from them
// to the log lines.
func (tn *tenant) checkTraces(t *testing.T, i invocation, lines []string) {
	t.Helper()
	found := tn.search(t, i.ID)
	if err := same(i.traceIDs(), found); err != nil {
		t.Errorf("published TraceQL query: %v", err)
	}
	own := 0
	for _, id := range found {
		spans, err := tn.Trace(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(spans) != i.SpansInTrace[id] {
			t.Errorf("trace %s has %d spans, want %d", id, len(spans), i.SpansInTrace[id])
		}
		for _, span := range spans {
			if span.Attributes[idKey] == i.ID {
				own++
			}
		}
	}
	if len(found) > 0 && own != i.Spans.Total {
		t.Errorf("%d spans carry the id, want %d", own, i.Spans.Total)
	}
	if own > 0 {
		// ${__span.tags["restate.invocation.id"]} is the id that the span carries.
		if err := same(lines, tn.query(t, logQuery(i.ID))); err != nil {
			t.Errorf("trace to logs: %v", err)
		}
	}
}

// checkTags sees that the tenant's name is on streams and spans.
func (tn *tenant) checkTags(t *testing.T, name string) {
	t.Helper()
	if err := same(tn.lines, tn.query(t, `{tenant="`+name+`"}`)); err != nil {
		t.Errorf("the label tenant: %v", err)
	}
	got, err := tn.Search(t.Context(), `{ resource.tenant="`+name+`" }`)
	if err := errors.Join(err, same(tn.distinctTraces(), got)); err != nil {
		t.Errorf("the resource attribute tenant: %v", err)
	}
}

func (tn *tenant) query(t *testing.T, query string) []string {
	t.Helper()
	lines, err := tn.LogLines(t, query)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// search asks the published query once for each invocation.
func (tn *tenant) search(t *testing.T, id string) []string {
	t.Helper()
	if found, asked := tn.traces[id]; asked {
		return found
	}
	found, err := tn.Search(t.Context(), traceQuery(id))
	if err != nil {
		t.Fatal(err)
	}
	if tn.traces == nil {
		tn.traces = map[string][]string{}
	}
	tn.traces[id] = found
	return found
}

// same compares two collections without their order: Loki orders entries of one
// time as it likes.
func same(want, got []string) error {
	want, got = slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))
	if slices.Equal(want, got) {
		return nil
	}
	return fmt.Errorf("%d instead of %d (-want +got):\n%.2000s", len(got), len(want), cmp.Diff(want, got))
}
