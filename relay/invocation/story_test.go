package invocation

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/relay/fault"
)

func writeFault(w http.ResponseWriter, r *http.Request, err error) {
	fault.Write(w, r, fault.JSON, err)
}

// current returns the invocation that a recorded JSON line is about, by the rule of
// the documentation, slowly.
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
		for _, key := range []string{"restate.invocation.id", "invocation_id"} {
			if id, ok := place[key].(string); ok {
				return id
			}
		}
	}
	return ""
}

// Each invocation's timeline has its spans and its lines, and nothing else.
func TestTimelinesOfTheRecording(t *testing.T) {
	w := recorded(t)
	f := newFixture(t, map[string]*world{acme: w})
	for _, inv := range readTruth(t) {
		t.Run(inv.ID, func(t *testing.T) {
			var want []string
			for _, e := range w.streams[`{kubernetes_container_name="restate", tenant="acme"}`].Entries {
				if id := current(t, e.Line); id == inv.ID || id == "" && strings.Index(e.Line, "inv_1") == strings.Index(e.Line, inv.ID) && strings.Contains(e.Line, inv.ID) {
					want = append(want, e.Line)
				}
			}
			kinds := map[string]int{}
			if inv.sampled() {
				kinds = inv.Spans.Kinds
			}
			tl := decode[Timeline](t, f.get(t, acme, base+"/"+inv.ID+"/timeline"))
			gotKinds, got := map[string]int{}, []string(nil)
			for _, e := range tl.Events {
				if e.Relation != relationSelf || e.Invocation != inv.ID {
					t.Errorf("%s of %q", e.Relation, e.Invocation)
				}
				if e.Log != nil {
					got = append(got, e.Log.Line)
					continue
				}
				kind, _, _ := strings.Cut(e.Span.Name, " ")
				gotKinds[kind]++
				if e.Span.Attributes[idAttribute] != inv.ID {
					t.Errorf("a span of %v", e.Span.Attributes[idAttribute])
				}
			}
			if diff := cmp.Diff(kinds, gotKinds); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			if !slices.IsSortedFunc(tl.Events, func(x, y Event) int { return x.Time.Compare(y.Time) }) {
				t.Error("the events aren't in order")
			}
			if tl.Next != "" {
				t.Errorf("next %q", tl.Next)
			}
		})
	}
}
