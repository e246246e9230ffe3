package relay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/tenancy/limits"
)

// boundNow is the time of the tests, in seconds.
const boundNow = 1_800_000_000

func boundFixture(t testing.TB) *fixture {
	t.Helper()
	f, _ := limitedFixture(t, limits.Set{Tenants: map[string]limits.Limits{"acme": {MaxQueryRange: time.Hour, MaxQueryLimit: 500}}}, func(o *Options) {
		o.Now = func() time.Time { return time.Unix(boundNow, 0) }
	})
	return f
}

const (
	lokiTooLong  = "the query time range exceeds the limit (query length: %s, limit: 1h)"
	lokiTooMany  = "max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > 500)"
	tempoTooLong = "range specified by start and end exceeds 1h0m0s. received start=%d end=%d"
	tempoTooMany = "limit %d exceeds max limit 500"
	metricsLong  = "metrics query time range exceeds the maximum allowed duration of 1h0m0s"
)

// What may be asked for is passed on, and what may not is refused in the engine's own
// words.
func TestWhatAQueryMayAskFor(t *testing.T) {
	const at, hour, day = boundNow, 3600, 86400
	r := "/loki/api/v1/query_range?"
	for query, want := range map[string]string{ // empty: passed on
		r:                                        "",
		r + "query=a&limit=500&since=1h":         "",
		r + "limit=501":                          fmt.Sprintf(lokiTooMany, 501),
		r + "limit=5x":                           "", // Loki knows what is wrong with it
		r + "since=61m":                          fmt.Sprintf(lokiTooLong, "1h1m0s"),
		r + "since=1h&end=" + fmt.Sprint(at+day): fmt.Sprintf(lokiTooLong, "25h0m0s"), // Loki counts it from now
		r + "since=tomorrow":                     `could not parse 'since' parameter: not a valid duration string: "tomorrow"`,
		r + "start=yesterday":                    `could not parse 'start' parameter: parsing time "yesterday" as "2006-01-02T15:04:05.999999999Z07:00": cannot parse "yesterday" as "2006"`,
		r + fmt.Sprintf("start=%d", at-hour):     "",
		r + fmt.Sprintf("start=%d", at-hour-1):   fmt.Sprintf(lokiTooLong, "1h0m1s"),
		r + fmt.Sprintf("start=%d.5&end=%d", at-hour-1, at):                        fmt.Sprintf(lokiTooLong, "1h0m0.5s"),
		r + fmt.Sprintf("start=%d000000000&end=%d000000000", at-2*hour, at):        fmt.Sprintf(lokiTooLong, "2h0m0s"),
		r + fmt.Sprintf("start=%d000000000&end=%d000000000", at-9*hour, at-8*hour): "",
		r + "start=2026-01-01T00:00:00Z&end=2026-01-01T02:00:00Z":                  fmt.Sprintf(lokiTooLong, "2h0m0s"),
		r + "start=2026-01-01T00:00:00Z&end=2026-01-01T01:00:00Z":                  "",
		r + "start=0&end=99999999999999999":                                        fmt.Sprintf(lokiTooLong, "27777h46m39.999999999s"),
		r + fmt.Sprintf("start=%d&start=%d&end=%d", at-2*hour, at, at):             fmt.Sprintf(lokiTooLong, "2h0m0s"), // the first counts
		r + fmt.Sprintf("start=%d&end=%d&x=%%zz", at-2*hour, at):                   fmt.Sprintf(lokiTooLong, "2h0m0s"), // malformed elsewhere
		r + fmt.Sprintf("start=%d&end=%d", at, at-day):                             "",                                 // Loki says what is wrong

		"/loki/api/v1/query?limit=501":                    fmt.Sprintf(lokiTooMany, 501),
		"/loki/api/v1/query?since=5d":                     "", // it has no range
		"/loki/api/v1/labels?since=2h":                    fmt.Sprintf(lokiTooLong, "2h0m0s"),
		"/loki/api/v1/label/a/values?since=2h":            fmt.Sprintf(lokiTooLong, "2h0m0s"),
		"/loki/api/v1/series?since=2h":                    fmt.Sprintf(lokiTooLong, "2h0m0s"),
		"/loki/api/v1/index/stats?since=2h":               fmt.Sprintf(lokiTooLong, "2h0m0s"),
		"/loki/api/v1/index/volume?since=2h&limit=100000": fmt.Sprintf(lokiTooLong, "2h0m0s"),
		"/loki/api/v1/index/volume?since=1h&limit=100000": "", // of streams, not lines
		"/loki/api/v1/index/volume_range?since=2h":        fmt.Sprintf(lokiTooLong, "2h0m0s"),
		"/loki/api/v1/patterns?since=2h":                  fmt.Sprintf(lokiTooLong, "2h0m0s"),
		"/loki/api/v1/detected_labels?since=2h":           fmt.Sprintf(lokiTooLong, "2h0m0s"),
		"/loki/api/v1/detected_fields?since=2h":           fmt.Sprintf(lokiTooLong, "2h0m0s"),
		"/loki/api/v1/detected_fields?line_limit=501":     fmt.Sprintf(lokiTooMany, 501),
		"/loki/api/v1/detected_field/a/values?since=2h":   fmt.Sprintf(lokiTooLong, "2h0m0s"),
		tailPath + fmt.Sprintf("?start=%d", at-2*hour):    fmt.Sprintf(lokiTooLong, "2h0m0s"),
		tailPath + "?limit=501":                           fmt.Sprintf(lokiTooMany, 501),
		tailPath:                                          "",

		"/api/search": "",
		fmt.Sprintf("/api/search?start=%d&end=%d&limit=500&spss=500", at-hour, at): "",
		fmt.Sprintf("/api/search?start=%d&end=%d", at-hour-1, at):                  fmt.Sprintf(tempoTooLong, at-hour-1, at),
		"/api/search?limit=501":       fmt.Sprintf(tempoTooMany, 501),
		"/api/search?spss=501":        "spans per span set exceeds 500. received 501",
		"/api/search?start=1e9&end=2": `invalid start: strconv.ParseInt: parsing "1e9": invalid syntax`,
		fmt.Sprintf("/api/search?tags=a%%3Db&start=%d&end=%d", at-day, at):        fmt.Sprintf(tempoTooLong, at-day, at),
		fmt.Sprintf("/api/search/tags?start=%d&end=%d", at-day, at):               fmt.Sprintf(tempoTooLong, at-day, at),
		fmt.Sprintf("/api/v2/search/tags?start=%d&end=%d", at-day, at):            fmt.Sprintf(tempoTooLong, at-day, at),
		fmt.Sprintf("/api/search/tag/a/values?start=%d&end=%d", at-day, at):       fmt.Sprintf(tempoTooLong, at-day, at),
		fmt.Sprintf("/api/v2/search/tag/a/values?start=%d&end=%d", at-day, at):    fmt.Sprintf(tempoTooLong, at-day, at),
		fmt.Sprintf("/api/metrics/summary?start=%d&end=%d", at-day, at):           fmt.Sprintf(tempoTooLong, at-day, at),
		"/api/metrics/query_range?since=2h":                                       metricsLong,
		"/api/metrics/query_range?since=1h":                                       "",
		fmt.Sprintf("/api/metrics/query?start=%d&end=%d", at-hour-1, at):          metricsLong,
		fmt.Sprintf("/api/traces/0123456789abcdef?start=%d&end=%d", at-day, at):   "", // one trace, wherever it is
		fmt.Sprintf("/api/search?start=%d&end=%d&limit=500&start=1", at-hour, at): "",
		fmt.Sprintf("/api/search?start=1&end=%d&start=%d", at, at-1):              fmt.Sprintf(tempoTooLong, 1, at),
	} {
		f := boundFixture(t)
		resp, body := f.ask("GET", query, "good", "")
		passed := f.loki.last() != nil || f.tempo.last() != nil
		switch {
		case want == "" && (resp.StatusCode != http.StatusOK || !passed):
			t.Errorf("%s: %s %q", query, resp.Status, body)
		case want != "" && (resp.StatusCode != http.StatusBadRequest || body != want+"\n" || passed):
			t.Errorf("%s: %s %q, want %q", query, resp.Status, body, want)
		}
		if resp, body := f.ask("GET", query, "other", ""); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: a tenant without limits: %s %q", query, resp.Status, body)
		}
	}
}

// A query may come as a form, and reaches the engine as it came.
func TestQueriesInBodies(t *testing.T) {
	long := url.Values{"query": {`{a="b"}`}, "start": {fmt.Sprint(boundNow - 7200)}}.Encode()
	short := url.Values{"query": {`{a="b"} |= "ä+&"`}, "start": {fmt.Sprint(boundNow - 60)}}.Encode()
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		query, contentType, body string
		want                     int
	}{
		"short":               {"", form, short, http.StatusOK},
		"long":                {"", form, long, http.StatusBadRequest},
		"charset":             {"", form + "; charset=utf-8", long, http.StatusBadRequest},
		"in the URL":          {"?" + long, form, "", http.StatusBadRequest},
		"the body goes first": {"?start=" + fmt.Sprint(boundNow), form, long, http.StatusBadRequest},
		"over the URL's":      {"?" + long, form, short, http.StatusOK},
		"not a form":          {"", "text/plain", long, http.StatusOK}, // Loki doesn't read it either
		"no type":             {"?" + long, "", short, http.StatusBadRequest},
		"malformed":           {"", form, long + "&x=%zz", http.StatusBadRequest},
		"multipart":           {"", `multipart/form-data; boundary="b"`, "--b--", http.StatusUnsupportedMediaType},
		"large":               {"", form, short + "&x=" + strings.Repeat("x", maxForm-len(short)-3), http.StatusOK},
		"too large":           {"", form, short + "&x=" + strings.Repeat("x", maxForm-len(short)-2), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			f := boundFixture(t)
			var got []byte
			f.loki.before = func(r *http.Request) (err error) {
				got, err = io.ReadAll(r.Body)
				return err
			}
			resp, answer := f.ask("POST", "/loki/api/v1/query_range"+c.query, "good", c.body, "Content-Type", c.contentType)
			if resp.StatusCode != c.want {
				t.Errorf("%s %q, want %d", resp.Status, answer, c.want)
			}
			if c.want == http.StatusOK && string(got) != c.body {
				t.Errorf("the engine got %.200q of %.200q", got, c.body)
			}
		})
	}
}

func varint(m []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), n)
}

// The streaming methods are checked by what their messages say, compressed or not.
func TestWhatACallMayAskFor(t *testing.T) {
	const at = boundNow
	search := func(start, end, limit, spss uint64) []byte {
		m := protowire.AppendString(protowire.AppendTag(nil, fieldQuery, protowire.BytesType), "{}")
		for field, n := range map[protowire.Number]uint64{fieldStart: start, fieldEnd: end, fieldLimit: limit, fieldSpansPerSpanSet: spss} {
			if n > 0 {
				m = varint(m, field, n)
			}
		}
		return m
	}
	tags := func(field protowire.Number, start, end uint64) []byte {
		return varint(varint(nil, field, start), field+1, end)
	}
	bad := append(search(1, 2, 3, 4), 0xff)
	for name, c := range map[string]struct {
		method  string
		message []byte
		want    string
	}{
		"an hour":         {"Search", search(at-3600, at, 500, 500), ""},
		"nothing":         {"Search", nil, ""},
		"more":            {"Search", search(at-3601, at, 0, 0), fmt.Sprintf(tempoTooLong, at-3601, at)},
		"limit":           {"Search", search(0, 0, 501, 0), fmt.Sprintf(tempoTooMany, 501)},
		"spans":           {"Search", search(0, 0, 0, 501), "spans per span set exceeds 500. received 501"},
		"the last counts": {"Search", append(search(at-60, at, 0, 0), search(at-9000, at, 0, 0)...), fmt.Sprintf(tempoTooLong, at-9000, at)},
		"old tags":        {"Search", protowire.AppendBytes(protowire.AppendTag(search(at-9000, at, 0, 0), fieldTags, protowire.BytesType), nil), fmt.Sprintf(tempoTooLong, at-9000, at)},
		"malformed":       {"Search", bad, "the request is malformed"},
		"too large":       {"Search", append(search(1, 2, 3, 4), protowire.AppendString(protowire.AppendTag(nil, 77, protowire.BytesType), strings.Repeat("x", maxSearch))...), "the request can't be read, or is larger than 16384 bytes"},
		"tags":            {"SearchTags", tags(3, at-3600, at), ""},
		"tags, more":      {"SearchTags", tags(3, at-9000, at), fmt.Sprintf(tempoTooLong, at-9000, at)},
		"tags 2, more":    {"SearchTagsV2", tags(3, at-9000, at), fmt.Sprintf(tempoTooLong, at-9000, at)},
		"values, more":    {"SearchTagValues", tags(4, at-9000, at), fmt.Sprintf(tempoTooLong, at-9000, at)},
		"values 2, more":  {"SearchTagValuesV2", tags(4, at-9000, at), fmt.Sprintf(tempoTooLong, at-9000, at)},
		"values, less":    {"SearchTagValues", tags(4, at-60, at), ""},
	} {
		for _, encoding := range []string{"", "gzip"} {
			t.Run(name+" "+encoding, func(t *testing.T) {
				body := frame(c.message)
				if encoding != "" && name != "too large" { // which compresses well
					body = compressed(t, encoding, c.message)
				}
				f := boundFixture(t)
				var got []byte
				f.tempo.before = func(r *http.Request) (err error) {
					got, err = io.ReadAll(r.Body)
					return err
				}
				resp := f.call(c.method, encoding, body)
				text, err := url.QueryUnescape(resp.Header.Get("Grpc-Message"))
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case text != c.want:
					t.Errorf("says %q, want %q", text, c.want)
				case c.want == "" && !bytes.Equal(got, body):
					t.Errorf("the engine got %q of %q", got, body)
				case c.want != "" && (resp.Header.Get("Grpc-Status") != "3" || f.tempo.last() != nil):
					t.Errorf("status %q", resp.Header.Get("Grpc-Status"))
				}
			})
		}
	}
}

// call makes a streaming call with a body.
func (f *fixture) call(method, encoding string, body []byte) *http.Response {
	r := httptest.NewRequest(http.MethodPost, "/tempopb.StreamingQuerier/"+method, bytes.NewReader(body))
	r.ProtoMajor, r.ProtoMinor, r.Proto = 2, 0, "HTTP/2.0"
	r.Header.Set("Authorization", "Bearer good")
	r.Header.Set("Content-Type", "application/grpc")
	if encoding != "" {
		r.Header.Set("Grpc-Encoding", encoding)
	}
	return f.do(r)
}

// A search for an invocation is as long as the index makes it: a long one that becomes
// short is passed on, and none becomes longer than its tenant may ask for.
func TestNarrowedSearchesAreChecked(t *testing.T) {
	const at = boundNow
	trace := func(from, to int64) *fakeIndex {
		return &fakeIndex{get: func(_ context.Context, _ string, id correlate.InvocationID) (index.Record, error) {
			r := index.Record{ID: id, Traces: []index.Trace{{ID: index.TraceID{1}, Main: true, From: from * 1e9, To: to * 1e9}}}
			return r, nil
		}}
	}
	for name, c := range map[string]struct {
		index      *fakeIndex
		start, end int64
		status     int
		looked     string
	}{
		"long becomes short":     {trace(at-600, at-590), at - 86400, at, http.StatusOK, lookupNarrowed},
		"short stays short":      {trace(at-86400, at), at - 60, at, http.StatusOK, lookupWide},
		"long stays long":        {trace(at-86400, at-10), at - 86400, at, http.StatusBadRequest, ""},
		"long becomes less long": {trace(at-7200, at-10), at - 86400, at, http.StatusBadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := limitedFixture(t, limits.Set{Defaults: limits.Limits{MaxQueryRange: time.Hour}}, func(o *Options) { o.Index = c.index })
			query := url.Values{"q": {knownQuery}, "start": {fmt.Sprint(c.start)}, "end": {fmt.Sprint(c.end)}}
			resp, body := f.ask("GET", "/api/search?"+query.Encode(), "good", "")
			if resp.StatusCode != c.status || c.looked != "" && resp.Header.Get(lookupHeader) != c.looked {
				t.Errorf("HTTP: %s %v %s", resp.Status, resp.Header, body)
			}
			want := map[int]string{http.StatusOK: "", http.StatusBadRequest: "3"}[c.status]
			if resp := f.call("Search", "", frame(message(query))); resp.Header.Get("Grpc-Status") != want {
				t.Errorf("gRPC: %v", resp.Header)
			}
		})
	}
}

// What is refused for what it asks for counts like any other refusal.
func TestBoundsAreCounted(t *testing.T) {
	f := boundFixture(t)
	_, _ = f.ask("GET", "/loki/api/v1/query_range?since=2h", "good", "")
	_, _ = f.ask("GET", "/api/search?limit=1000", "good", "")
	registry, ok := f.relay.opts.Registerer.(prometheus.Gatherer)
	if !ok {
		t.Fatal("no registry")
	}
	want := `
# HELP invoscope_limits_refused_total Requests refused for a tenant's limit. Tenants have names here if they have limits of their own.
# TYPE invoscope_limits_refused_total counter
invoscope_limits_refused_total{limit="query_limit",tenant="acme"} 1
invoscope_limits_refused_total{limit="query_range",tenant="acme"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "invoscope_limits_refused_total"); err != nil {
		t.Error(err)
	}
}
