package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
)

// fakeIndex is a Reader whose Get is a function. Nothing else is asked of it.
type fakeIndex struct {
	index.Reader
	get   func(ctx context.Context, tenant string, id correlate.InvocationID) (index.Record, error)
	since float64 // seconds
	err   error   // of Since
}

func (f *fakeIndex) Since(context.Context, string) (int64, error) { return sec(f.since), f.err }

func (f *fakeIndex) Get(ctx context.Context, tenant string, id correlate.InvocationID) (index.Record, error) {
	return f.get(ctx, tenant, id)
}

const (
	knownID   = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"
	unknownID = "inv_1bckjJskJkwj4oyzIDLCkpNBV5j9ubtclq"

	knownQuery = `{ .restate.invocation.id="` + knownID + `" }`
	// narrowedQuery is what the engine is asked instead of knownQuery.
	narrowedQuery = `{ span.restate.invocation.id = "` + knownID + `" }`
	unknownQuery  = `{ .restate.invocation.id="` + unknownID + `" }`
)

// sec is a time in seconds since 1970 as the index has it.
func sec(s float64) int64 { return int64(s * 1e9) }

// trace is one of a record's.
func trace(last byte, from, to float64) index.Trace {
	return index.Trace{ID: index.TraceID{15: last}, From: sec(from), To: sec(to), Main: true}
}

// withRecord makes the tenant acme's index know one record.
func (f *fixture) withRecord(t testing.TB, r index.Record) {
	t.Helper()
	known, err := correlate.ParseInvocationID(knownID)
	if err != nil {
		t.Fatal(err)
	}
	f.relay.opts.Index = &fakeIndex{get: func(ctx context.Context, tenant string, id correlate.InvocationID) (index.Record, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > lookupTimeout {
			t.Error("the index may take for ever")
		}
		if tenant != "acme" || id != known {
			return index.Record{}, fmt.Errorf("get: %w", index.ErrNotFound)
		}
		return r, nil
	}}
}

// looked is what became of the search: the answer's header and the metric.
func (f *fixture) looked(t *testing.T, resp *http.Response, want string) {
	t.Helper()
	if got := resp.Header.Get(lookupHeader); got != want {
		t.Errorf("the answer says %q, want %q", got, want)
	}
	if want != "" {
		if n := testutil.ToFloat64(f.relay.metrics.lookups.WithLabelValues(want)); n != 1 {
			t.Errorf("%v lookups are counted as %s, want 1", n, want)
		}
	} else if n := testutil.CollectAndCount(f.relay.metrics.lookups); n != 0 {
		t.Errorf("lookups are counted")
	}
}

func (f *fixture) search(rawQuery string, set ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "/api/search?"+rawQuery, nil)
	r.Header.Set("Authorization", "Bearer good")
	for name, values := range headers(set).header() {
		r.Header[name] = values
	}
	return f.do(r)
}

func TestSearchesForAnInvocationAreNarrowed(t *testing.T) {
	const week = lookupMaxRange
	tests := map[string]struct {
		record     index.Record
		start, end string // asked, if not empty
		want       url.Values
		result     string
	}{
		"one trace": {
			index.Record{Traces: []index.Trace{trace(7, 5000.9, 5001.1)}}, "100", "200",
			url.Values{"start": {"4999"}, "end": {"5003"}, "q": {narrowedQuery}}, lookupNarrowed,
		},
		"asked without a range": {
			index.Record{Traces: []index.Trace{trace(7, 5000, 5001)}}, "", "",
			url.Values{"start": {"4999"}, "end": {"5003"}, "q": {narrowedQuery}}, lookupNarrowed,
		},
		"two traces": {
			index.Record{Traces: []index.Trace{trace(7, 5000, 5001), trace(8, 3000, 3001)}}, "100", "200",
			url.Values{"start": {"2999"}, "end": {"5003"}, "q": {narrowedQuery}}, lookupNarrowed,
		},
		"more traces than are known": {
			index.Record{Traces: []index.Trace{trace(7, 5000, 5001)}, MoreTraces: true, FirstSeen: sec(1000), LastSeen: sec(6000)}, "100", "200",
			url.Values{"start": {"999"}, "end": {"6002"}, "q": {narrowedQuery}}, lookupNarrowed,
		},
		"a trace at the beginning of time": {
			index.Record{Traces: []index.Trace{trace(7, 0, 0)}}, "100", "200",
			url.Values{"start": {"1"}, "end": {"2"}, "q": {narrowedQuery}}, lookupNarrowed,
		},
		"a trace in the far future": {
			index.Record{Traces: []index.Trace{{ID: index.TraceID{15: 9}, Main: true, From: math.MaxInt64 - 1, To: math.MaxInt64}}}, "100", "200",
			url.Values{"start": {"2147483646"}, "end": {"2147483647"}, "q": {narrowedQuery}}, lookupNarrowed,
		},
		"a week": {
			index.Record{Traces: []index.Trace{trace(7, 5000, 5000+week-3)}}, "100", "200",
			url.Values{"start": {"4999"}, "end": {fmt.Sprint(4999 + week)}, "q": {narrowedQuery}}, lookupNarrowed,
		},
		"more than a week": {
			index.Record{Traces: []index.Trace{trace(7, 5000, 5000+week)}}, "100", "200",
			url.Values{"start": {"100"}, "end": {"200"}, "q": {knownQuery}}, lookupWide,
		},
		"more than a week, asked without a range": {
			index.Record{Traces: []index.Trace{trace(7, 5000, 5000+week)}}, "", "",
			url.Values{"q": {knownQuery}}, lookupWide,
		},
		"more than a week, but less than asked": {
			index.Record{Traces: []index.Trace{trace(7, 5000, 5000+week)}}, "1000000", "2000000",
			url.Values{"start": {"4999"}, "end": {fmt.Sprint(5002 + week)}, "q": {narrowedQuery}}, lookupNarrowed,
		},
		"two traces, it ran in one": {
			index.Record{Traces: []index.Trace{{ID: index.TraceID{1}, From: sec(5000), To: sec(5001)}, trace(8, 3000, 3001)}}, "100", "200",
			url.Values{"start": {"2999"}, "end": {"5003"}, "q": {narrowedQuery}}, lookupNarrowed,
		},
		"only a repeated call's trace": {
			index.Record{Traces: []index.Trace{{ID: index.TraceID{1}, From: sec(5000), To: sec(5001)}}}, "100", "200",
			url.Values{"start": {"100"}, "end": {"200"}, "q": {knownQuery}}, lookupUnknown,
		},
		"no trace": {
			index.Record{FirstSeen: sec(1), LastSeen: sec(2)}, "100", "200",
			url.Values{"start": {"100"}, "end": {"200"}, "q": {knownQuery}}, lookupUnknown,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			asked := url.Values{"q": {knownQuery}, "limit": {"7"}, "spss": {"3"}, "x": {"a", "b"}}
			for _, name := range []string{"limit", "spss", "x"} {
				tt.want[name] = asked[name]
			}
			if tt.start != "" {
				asked.Set("start", tt.start)
				asked.Set("end", tt.end)
			}
			t.Run("HTTP", func(t *testing.T) {
				f := newFixture(t)
				f.withRecord(t, tt.record)
				f.looked(t, f.search(asked.Encode()), tt.result)
				if got := f.tempo.last().URL.Query(); got.Encode() != tt.want.Encode() {
					t.Errorf("the engine was asked %v, want %v", got, tt.want)
				}
			})
			t.Run("gRPC", func(t *testing.T) {
				f := newFixture(t)
				f.withRecord(t, tt.record)
				got, resp := f.stream(t, "", frame(message(asked)))
				f.looked(t, resp, tt.result)
				if want := frame(message(tt.want)); !bytes.Equal(got, want) {
					t.Errorf("the engine was asked %q, want %q", got, want)
				}
			})
		})
	}
}

var oneTrace = index.Record{Traces: []index.Trace{trace(7, 5000, 5001)}}

// What isn't a search for one invocation reaches the engine byte for byte, and
// nothing is said about it.
func TestOtherSearchesAreLeftAlone(t *testing.T) {
	known := "q=" + url.QueryEscape(knownQuery)
	for _, query := range []string{
		"", "q=%7B%7D&start=1&end=2", "q=" + url.QueryEscape(knownQuery+" | count() > 1"), "q=" + url.QueryEscape(`{ resource.restate.invocation.id="`+knownID+`" }`),
		"tags=restate.invocation.id%3D" + knownID + "&start=1&end=2", known + "&tags=a%3Db", known + "&" + known, "query=" + url.QueryEscape(knownQuery),
		known + "&start=x&end=2", known + "&start=-1&end=2", known + "&start=1&end=2147483648", known + "&start=1.5&end=2", known + "&a=%zz", known + ";start=1",
	} {
		f := newFixture(t)
		f.withRecord(t, oneTrace)
		f.looked(t, f.search(query), "")
		if got := f.tempo.last().URL.RawQuery; got != query {
			t.Errorf("the engine was asked %q, want %q", got, query)
		}
	}
}

// The index may know some of the times at which an id ran, when it came later than
// the data or has forgotten more than Tempo: those may not hide the others.
func TestWhatTheIndexCannotKnowIsSearchedAsAsked(t *testing.T) {
	const known = 5000000 // when it ran
	for name, tt := range map[string]struct {
		since            float64
		start, end       string
		wantStart, wantE string
		result           string
	}{
		"the index was there":                {known - 9000, "4995000", "5000500", "4999999", "5000003", lookupNarrowed},
		"a part of the range was before it":  {known - 3000, "4995000", "5000500", "4995000", "5000003", lookupNarrowed},
		"all of the range was before it":     {known - 3000, "4990000", "4995000", "4990000", "5000003", lookupNarrowed},
		"asked for without a range":          {known - 3000, "", "", "4999999", "5000003", lookupNarrowed},
		"more than Tempo may search is left": {known - 3000, "1000000", "1000500", "1000000", "1000500", lookupWide},
		"some was missed after it ran":       {known + 3000, "4999000", "5003600", "4999000", "5003001", lookupNarrowed},
		"some was missed after the range":    {known + 3000, "5001000", "5002000", "4999999", "5002000", lookupNarrowed},
		"some was missed before the range":   {known + 3000, "5003100", "5006700", "4999999", "5000003", lookupNarrowed},
		"as long as was asked for":           {known - 3000, "1000000", "5000500", "1000000", "5000003", lookupNarrowed},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.withRecord(t, index.Record{Traces: []index.Trace{trace(7, known, known+1)}})
			f.relay.opts.Index.(*fakeIndex).since = tt.since
			asked := url.Values{"q": {knownQuery}}
			if tt.start != "" {
				asked.Set("start", tt.start)
				asked.Set("end", tt.end)
			}
			f.looked(t, f.search(asked.Encode()), tt.result)
			got := f.tempo.last().URL.Query()
			if got.Get("start") != tt.wantStart || got.Get("end") != tt.wantE {
				t.Errorf("the engine was asked from %s to %s, want %s to %s", got.Get("start"), got.Get("end"), tt.wantStart, tt.wantE)
			}
		})
	}
}

func TestUnknownInvocationsAreAskedForAsTheyAre(t *testing.T) {
	query := "x=1&start=100&q=" + url.QueryEscape(unknownQuery) + "&end=200"
	f := newFixture(t)
	f.withRecord(t, oneTrace)
	f.looked(t, f.search(query), lookupUnknown)
	if got := f.tempo.last().URL.RawQuery; got != query {
		t.Errorf("the engine was asked %q, want %q", got, query)
	}
}

// Two clusters produce the same invocation ids.
func TestAnotherTenantsIndexDoesNotNarrow(t *testing.T) {
	f := newFixture(t)
	f.withRecord(t, oneTrace)
	query := "q=" + url.QueryEscape(knownQuery)
	f.looked(t, f.search(query, "Authorization", "Bearer other"), lookupUnknown)
	if got := f.tempo.last().URL.RawQuery; got != query {
		t.Errorf("the engine was asked %q, want %q", got, query)
	}
}

func TestLookupsAreSwitchedOff(t *testing.T) {
	for name, tt := range map[string]struct {
		set    func(*fixture)
		header string
		result string
	}{
		"for the request":               {func(*fixture) {}, "off", lookupOff},
		"for the request, in capitals":  {func(*fixture) {}, "OFF", lookupOff},
		"for the tenant":                {func(f *fixture) { f.relay.opts.Lookups = func(tenant string) bool { return tenant != "acme" } }, "", lookupOff},
		"for another tenant":            {func(f *fixture) { f.relay.opts.Lookups = func(tenant string) bool { return tenant == "acme" } }, "", lookupNarrowed},
		"not at all":                    {func(*fixture) {}, "on", lookupNarrowed},
		"for all, for want of an index": {func(f *fixture) { f.relay.opts.Index = nil }, "off", ""},
	} {
		t.Run(name, func(t *testing.T) {
			query := "start=100&q=" + url.QueryEscape(knownQuery)
			for _, protocol := range []string{"HTTP", "gRPC"} {
				f := newFixture(t)
				f.withRecord(t, oneTrace)
				tt.set(f)
				var same bool
				if protocol == "HTTP" {
					f.looked(t, f.search(query, lookupHeader, tt.header), tt.result)
					same = f.tempo.last().URL.RawQuery == query
				} else {
					body := frame(message(url.Values{"q": {knownQuery}}))
					got, resp := f.stream(t, "", body, lookupHeader, tt.header)
					f.looked(t, resp, tt.result)
					same = bytes.Equal(got, body)
				}
				if same == (tt.result == lookupNarrowed) {
					t.Errorf("%s: the engine was asked the same: %t", protocol, same)
				}
				if f.tempo.last().Header.Get(lookupHeader) != "" {
					t.Errorf("%s: the header reached the engine", protocol)
				}
			}
		})
	}
}

func TestIndexThatFails(t *testing.T) {
	for name, get := range map[string]func(context.Context, string, correlate.InvocationID) (index.Record, error){
		"half-way": func(context.Context, string, correlate.InvocationID) (index.Record, error) { return oneTrace, nil },
		"at once": func(context.Context, string, correlate.InvocationID) (index.Record, error) {
			return index.Record{}, errors.New("the disk is gone")
		},
		"by taking too long": func(ctx context.Context, _ string, _ correlate.InvocationID) (index.Record, error) {
			<-ctx.Done()
			return index.Record{}, ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.relay.opts.Index = &fakeIndex{get: get, err: errors.New("the disk is gone")}
			query := "q=" + url.QueryEscape(knownQuery)
			resp := f.search(query)
			f.looked(t, resp, lookupError)
			if got := f.tempo.last().URL.RawQuery; got != query || resp.StatusCode != http.StatusOK {
				t.Errorf("status %d, and the engine was asked %q", resp.StatusCode, got)
			}
		})
	}
}

func BenchmarkNarrowedSearch(b *testing.B) {
	f := newFixture(b)
	f.withRecord(b, oneTrace)
	query := url.Values{"q": {knownQuery}, "limit": {"20"}, "spss": {"3"}, "start": {"100"}, "end": {"200"}}.Encode()
	b.ReportAllocs()
	for b.Loop() {
		f.search(query)
		f.tempo.seen = f.tempo.seen[:0]
	}
}
