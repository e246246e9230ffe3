package invocation

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
)

// fakeIndex answers what it is told to.
type fakeIndex struct {
	record    index.Record
	relations index.Relations
	err       error
}

func (f *fakeIndex) Get(_ context.Context, tenant string, id correlate.InvocationID) (index.Record, error) {
	if tenant != acme || id != f.record.ID {
		return index.Record{}, index.ErrNotFound
	}
	return f.record, f.err
}

func (f *fakeIndex) Relations(context.Context, string, *index.Record, int) (index.Relations, error) {
	return f.relations, f.err
}

func (f *fakeIndex) List(context.Context, string, index.Query) (index.Page, error) {
	return index.Page{Records: []index.Record{f.record}, Next: "next"}, f.err
}

func at(second int64) int64 { return second * int64(time.Second) }

func when(second int64) *time.Time {
	t := time.Unix(second, 0).UTC()
	return &t
}

func TestFacts(t *testing.T) {
	id, caller, callee := invocationID(1), invocationID(2), invocationID(3)
	started := index.Record{ID: id, FirstSeen: at(1), LastSeen: at(9), Started: at(2), Traces: []index.Trace{{ID: index.TraceID{15: 1}, From: at(2), To: at(8), Main: true}}}
	with := func(change func(*index.Record)) index.Record { r := started; change(&r); return r }
	ofIngress := index.Relations{Origin: index.Ingress}
	tests := map[string]struct {
		record index.Record
		rel    index.Relations
		want   func(*Invocation)
	}{
		"running": {started, ofIngress, func(i *Invocation) { i.Outcome = "running" }},
		"succeeded": {
			with(func(r *index.Record) {
				r.Ended = index.At[index.Outcome]{Time: at(8), Value: index.Succeeded}
				r.Attempts = []index.SpanID{{1}, {2}}
				r.Target, r.Deployment = "Greeter/greet", index.At[string]{Time: at(3), Value: "dp_1"}
				r.ErrorCode = index.At[string]{Time: at(5), Value: "RT0007"}
				r.Failure = index.At[index.Failure]{Time: at(4), Value: index.Failure{Status: "500 Internal", Message: "no"}}
			}),
			index.Relations{Origin: index.Call, Caller: &caller, Callees: []index.Relative{{ID: callee, Origin: index.Send}}},
			func(i *Invocation) {
				i.Outcome, i.Final, i.AttemptsSeen, i.Ended = "succeeded", true, 2, when(8)
				i.Target, i.Deployment = "Greeter/greet", "dp_1"
				i.Error = &Error{At: *when(5), Code: "RT0007", Status: "500 Internal", Message: "no"}
				i.Origin, i.Caller, i.Callees = "call", caller.String(), []Callee{{callee.String(), "send"}}
			},
		},
		"completed, from who knows where": {
			with(func(r *index.Record) { r.Completed = at(7) }), index.Relations{},
			func(i *Invocation) {
				i.Outcome, i.Final, i.Ended, i.Origin = "completed", true, when(7), "unknown"
				i.Gaps = []string{"end", "caller"}
			},
		},
		"succeeded without an attempt, and more callees": {
			with(func(r *index.Record) { r.Ended = index.At[index.Outcome]{Time: at(8), Value: index.Succeeded} }),
			index.Relations{Origin: index.Send, More: true},
			func(i *Invocation) {
				i.Outcome, i.Final, i.Ended, i.Origin = "succeeded", true, when(8), "send"
				i.Gaps = []string{"attempts", "caller", "callees"}
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := Invocation{
				Summary: Summary{ID: id.String(), FirstSeen: *when(1), LastSeen: *when(9)}, Started: when(2), Origin: "ingress",
				Traces:  []Trace{{"00000000000000000000000000000001", *when(2), *when(8), true}},
				Callees: []Callee{}, Gaps: []string{},
			}
			tt.want(&want)
			f := &fixture{API: New(Options{Index: &fakeIndex{record: tt.record, relations: tt.rel}, Now: time.Now})}
			got := decode[Invocation](t, f.get(t, acme, base+"/"+id.String()))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			page := decode[Page](t, f.get(t, acme, base))
			if diff := cmp.Diff(Page{[]Summary{want.Summary}, "next"}, page); diff != "" {
				t.Errorf("listed (-want +got):\n%s", diff)
			}
		})
	}
}

// What the recording's index knows passes through: as many gaps as the truth has.
func TestFactsOfTheRecording(t *testing.T) {
	f := newFixture(t, map[string]*world{acme: recorded(t)})
	for _, inv := range readTruth(t) {
		got := decode[Invocation](t, f.get(t, acme, base+"/"+inv.ID))
		if got.ID != inv.ID || got.Target != inv.Target || got.Caller != inv.Caller || got.AttemptsSeen != inv.Spans.Kinds["invocation-attempt"] {
			t.Errorf("%+v, want %+v", got, inv)
		}
		if inv.sampled() && len(got.Gaps) > 0 {
			t.Errorf("%s: gaps %v", inv.ID, got.Gaps)
		}
	}
}

func TestAnIndexThatIsAway(t *testing.T) {
	id := invocationID(1)
	f := &fixture{API: New(Options{Index: &fakeIndex{record: index.Record{ID: id}, err: errors.New("secret")}, Now: time.Now, GrafanaURL: "http://g"})}
	for _, path := range []string{base, base + "/" + id.String(), base + "/" + id.String() + "/timeline", base + "/" + id.String() + "/links"} {
		resp := f.get(t, acme, path)
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(string(body), "secret") {
			t.Errorf("%s: %s %s %v", path, resp.Status, body, err)
		}
	}
}

// Links lead to the latest trace first, in the tenant's data sources, and to the
// time that the index knows.
func TestLinks(t *testing.T) {
	id := invocationID(1)
	rec := index.Record{ID: id, FirstSeen: at(100), LastSeen: at(200), Ended: index.At[index.Outcome]{Time: at(200), Value: index.Failed}}
	for i := range byte(3) {
		rec.Traces = append(rec.Traces, index.Trace{ID: index.TraceID{15: i + 1}, From: at(100 + int64(i)), To: at(150)})
	}
	f := &fixture{API: New(Options{Index: &fakeIndex{record: rec}, Now: time.Now, GrafanaURL: "http://g/x", TenantKey: "tenant"})}
	links := decode[Links](t, f.get(t, acme, base+"/"+id.String()+"/links"))
	decoded := func(link string) string {
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		return u.Path + " " + u.Query().Get("panes")
	}
	for _, want := range []string{
		"/x/explore ", `"datasource":"invoscope-acme-loki"`, `{tenant=` + "`acme`} | restate_invocation_id=`" + id.String() + "`", `"from":"40000","to":"260000"`,
	} {
		if got := decoded(links.Logs); !strings.Contains(got, want) {
			t.Errorf("the lines' link %s lacks %s", got, want)
		}
	}
	var traces []string
	for _, link := range links.Traces {
		_, query, _ := strings.Cut(decoded(link), `"query":"`)
		traces = append(traces, query[:32])
	}
	want := []string{strings.Repeat("0", 31) + "3", strings.Repeat("0", 31) + "2", strings.Repeat("0", 31) + "1"}
	if !slices.Equal(traces, want) {
		t.Errorf("traces %v", traces)
	}
}
