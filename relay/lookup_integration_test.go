//go:build integration

package relay

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/relay/engine"
)

// site is a relay in front of a real Tempo. Its index knows what was pushed.
type site struct {
	*fixture
	engine *engine.Embedded
	socket string
	addr   string // of the relay
	now    time.Time
	known  map[string]map[correlate.InvocationID]index.Record // by tenant
	spans  byte
}

func newSite(t *testing.T) *site {
	t.Helper()
	// The path of a socket has room for a hundred bytes; t.TempDir takes more.
	dir, err := os.MkdirTemp("", "lookup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, err := filepath.Abs(filepath.Join("..", "bin", "tempo"))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{
		fixture: newFixture(t), now: time.Now(), known: map[string]map[correlate.InvocationID]index.Record{},
		engine: engine.NewTempo(engine.EmbeddedOptions{
			Binary: binary, DataDir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		}),
		socket: filepath.Join(dir, "run", "http.sock:80"),
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	wait, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := engine.WaitReady(wait, s.engine); err != nil {
		t.Fatal(err)
	}
	opts := s.relay.opts
	opts.Tempo, opts.Registerer, opts.Index = s.engine, prometheus.NewRegistry(), &fakeIndex{get: s.get}
	s.relay = New(opts)
	s.addr = s.publicPort(t)
	return s
}

func (s *site) get(_ context.Context, tenant string, id correlate.InvocationID) (index.Record, error) {
	if r, ok := s.known[tenant][id]; ok {
		return r, nil
	}
	return index.Record{}, index.ErrNotFound
}

// push stores a trace of one span that carries an id, so long ago, and lets the
// index know.
func (s *site) push(t *testing.T, tenant, id string, ago time.Duration) {
	t.Helper()
	span := s.pushWith(t, tenant, ago, func(_ pcommon.Resource, span ptrace.Span) {
		span.Attributes().PutStr("restate.invocation.id", id)
		span.Attributes().PutStr("rpc.service", "Greeter")
	})
	parsed, err := correlate.ParseInvocationID(id)
	if err != nil {
		t.Fatal(err)
	}
	if s.known[tenant] == nil {
		s.known[tenant] = map[correlate.InvocationID]index.Record{}
	}
	r := s.known[tenant][parsed]
	r.ID = parsed
	r.Traces = append(r.Traces, index.Trace{
		ID: index.TraceID(span.TraceID()), Main: true, From: int64(span.StartTimestamp()), To: int64(span.EndTimestamp()),
	})
	s.known[tenant][parsed] = r
}

// pushWith stores a trace of one span.
func (s *site) pushWith(t *testing.T, tenant string, ago time.Duration, set func(pcommon.Resource, ptrace.Span)) ptrace.Span {
	t.Helper()
	s.spans++
	traces := ptrace.NewTraces()
	rs := traces.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "Restate")
	span := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetName("invocation-attempt Greeter/greet")
	span.SetTraceID(pcommon.TraceID{0: s.spans, 15: 1})
	span.SetSpanID(pcommon.SpanID{0: s.spans})
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(s.now.Add(-ago)))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(s.now.Add(-ago + 1500*time.Millisecond)))
	set(rs.Resource(), span)
	body, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.engine.Push(t.Context(), tenant, body); err != nil {
		t.Fatal(err)
	}
	return span
}

// direct is Tempo's own answer.
func (s *site) direct(t *testing.T, tenant string, params url.Values) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://engine/api/search?"+params.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Scope-OrgID", tenant)
	resp, err := s.engine.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte(resp.Status+" "), body...)
}

// relayed is the relay's answer to a token, and what it says of the lookup.
func (s *site) relayed(t *testing.T, token string, params url.Values, set ...string) ([]byte, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+"/api/search?"+params.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for name, values := range headers(set).header() {
		req.Header[name] = values
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte(resp.Status+" "), body...), resp.Header.Get(lookupHeader)
}

// traceIDs are those that an answer has, as Tempo writes them.
func traceIDs(answer []byte) (ids []string) {
	var found struct {
		Traces []struct {
			TraceID string `json:"traceID"`
		} `json:"traces"`
	}
	if err := json.Unmarshal(answer[bytes.IndexByte(answer, '{'):], &found); err != nil {
		return []string{err.Error()}
	}
	for _, trace := range found.Traces {
		ids = append(ids, strings.Repeat("0", 32-len(trace.TraceID))+trace.TraceID)
	}
	slices.Sort(ids)
	return ids
}

// foundIn is an answer without what was looked at for it.
func foundIn(t *testing.T, answer []byte) (traces any) {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(answer[bytes.IndexByte(answer, '{'):], &all); err != nil {
		t.Fatal(err)
	}
	return all["traces"]
}

// until calls try until it returns nil.
func until(t *testing.T, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		<-tick.C
	}
}

// shown is a search as Grafana sends one, for a range so long ago.
func (s *site) shown(query string, from, to time.Duration) url.Values {
	return url.Values{
		"q": {query}, "limit": {"20"}, "spss": {"3"},
		"start": {strconv.FormatInt(s.now.Add(-from).Unix(), 10)}, "end": {strconv.FormatInt(s.now.Add(-to).Unix(), 10)},
	}
}

// narrower is what the relay should make of a search, found without its code:
// the range of a record's traces, and the scope of the attribute.
func narrower(asked url.Values, id string, r index.Record) url.Values {
	first := slices.MinFunc(r.Traces, func(a, b index.Trace) int { return int(a.From - b.From) })
	last := slices.MaxFunc(r.Traces, func(a, b index.Trace) int { return int(a.To - b.To) })
	params := url.Values{"limit": asked["limit"], "spss": asked["spss"], "q": {`{ span.restate.invocation.id = "` + id + `" }`}}
	params.Set("start", strconv.FormatInt(first.From/1e9-1, 10))
	params.Set("end", strconv.FormatInt(last.To/1e9+2, 10))
	return params
}

// same asks until both give the same answer before and after the other, and gives
// up when they never do. Tempo's own answer to one query changes while it makes
// blocks of what it got: it counts what it looked at.
func same(t *testing.T, what string, direct, relayed func() []byte) (answer []byte) {
	t.Helper()
	until(t, what, func() error {
		before, got, after := direct(), relayed(), direct()
		answer = got
		if !bytes.Equal(before, after) {
			return errors.New("Tempo doesn't know yet")
		}
		if !bytes.Equal(before, got) {
			return fmt.Errorf("Tempo answers\n%q\nthe relay\n%q", before, got)
		}
		return nil
	})
	return answer
}

const twiceID = unknownID

// filled is a site with invocations: one of one trace, one of two traces, and one
// that another tenant has, too.
func filled(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.push(t, "acme", knownID, 5*time.Hour)
	s.push(t, "acme", twiceID, 7*time.Hour)
	s.push(t, "acme", twiceID, 3*time.Hour)
	s.push(t, "globex", knownID, 6*time.Hour)
	for ago := time.Hour; ago < 8*time.Hour; ago += 30 * time.Minute {
		s.push(t, "acme", "inv_19qmpqSOYavs395ApR6q0xSb8ihBx3c30z", ago)
	}
	until(t, "Tempo finds what it got", func() error {
		for tenant, want := range map[string]int{"acme": 17, "globex": 1} {
			params := s.shown(`{ .restate.invocation.id != nil }`, 24*time.Hour, 0)
			params.Set("limit", "100")
			if got := len(traceIDs(s.direct(t, tenant, params))); got != want {
				return fmt.Errorf("%s has %d traces, want %d", tenant, got, want)
			}
		}
		return nil
	})
	return s
}

func hexIDs(r index.Record) (ids []string) {
	for _, t := range r.Traces {
		ids = append(ids, hex.EncodeToString(t.ID[:]))
	}
	slices.Sort(ids)
	return ids
}

func recognisedQueries(t *testing.T, id string) (queries []string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "correlate", "traceql", "testdata", "recognised.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &queries); err != nil {
		t.Fatal(err)
	}
	for i := range queries {
		queries[i] = strings.ReplaceAll(queries[i], "$", id)
	}
	return queries
}

// Whatever range is asked for, the answer is Tempo's own to the narrower search.
func TestLookupsAreTemposOwnAnswers(t *testing.T) {
	s := filled(t)
	for tenant, token := range map[string]string{"acme": "good", "globex": "other"} {
		for _, id := range []string{knownID, twiceID} {
			parsed, err := correlate.ParseInvocationID(id)
			if err != nil {
				t.Fatal(err)
			}
			record, known := s.known[tenant][parsed]
			if !known {
				continue
			}
			for _, query := range recognisedQueries(t, id) {
				asked := s.shown(query, 15*time.Minute, 0)
				if got := traceIDs(s.direct(t, tenant, asked)); len(got) != 0 {
					t.Errorf("%s: Tempo finds %v in the last minutes", query, got)
				}
				// Tempo itself takes the spelling and means the same by it.
				whole := s.direct(t, tenant, s.shown(query, 24*time.Hour, 0))
				if got, want := traceIDs(whole), hexIDs(record); !slices.Equal(got, want) {
					t.Errorf("%s: Tempo finds %v in a day, want %v", query, got, want)
				}
				answer := same(t, query,
					func() []byte { return s.direct(t, tenant, narrower(asked, id, record)) },
					func() []byte {
						body, looked := s.relayed(t, token, asked)
						if looked != lookupNarrowed {
							t.Errorf("%s: %s", query, looked)
						}
						return body
					})
				// But for what Tempo looked at, so it answers the query as it was asked, over a day.
				if diff := cmp.Diff(foundIn(t, whole), foundIn(t, answer)); diff != "" {
					t.Errorf("%s: what is found in a day and by the lookup:\n%s", query, diff)
				}
			}
		}
	}
}

// What isn't looked up is answered as Tempo answers just that.
func TestSearchesThatAreNotLookedUp(t *testing.T) {
	s := filled(t)
	query := func(id string) string { return `{ .restate.invocation.id = "` + id + `" }` }
	never := "inv_15xgYxIgAP7T1RwNIWp3LIw6lzw74VZk0y"
	for name, tt := range map[string]struct {
		query, token, header string
		looked               string
	}{
		"unknown":               {query(never), "good", "", lookupUnknown},
		"another tenant's":      {query(twiceID), "other", "", lookupUnknown},
		"switched off":          {query(knownID), "good", "off", lookupOff},
		"more than an equality": {query(knownID) + " | count() > 0", "good", "", ""},
		"a hint":                {query(knownID) + " with (most_recent=true)", "good", "", ""},
		"of a resource":         {`{ resource.restate.invocation.id = "` + knownID + `" }`, "good", "", ""},
		"not a query":           {`{ .restate.invocation.id = ` + knownID + ` }`, "good", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			tenant := map[string]string{"good": "acme", "other": "globex"}[tt.token]
			for _, from := range []time.Duration{15 * time.Minute, 24 * time.Hour} {
				asked := s.shown(tt.query, from, 0)
				same(t, tt.query,
					func() []byte { return s.direct(t, tenant, asked) },
					func() []byte {
						body, looked := s.relayed(t, tt.token, asked, lookupHeader, tt.header)
						if looked != tt.looked {
							t.Errorf("the answer says %q, want %q", looked, tt.looked)
						}
						return body
					})
			}
		})
	}
}

// Why other scopes aren't recognised: Tempo finds other spans by them.
func TestScopesSelectOtherSpans(t *testing.T) {
	s := newSite(t)
	put := func(attributes pcommon.Map) { attributes.PutStr("restate.invocation.id", knownID) }
	places := map[string]func(pcommon.Resource, ptrace.Span){
		"span":     func(_ pcommon.Resource, span ptrace.Span) { put(span.Attributes()) },
		"resource": func(resource pcommon.Resource, _ ptrace.Span) { put(resource.Attributes()) },
		"event":    func(_ pcommon.Resource, span ptrace.Span) { put(span.Events().AppendEmpty().Attributes()) },
		"link": func(_ pcommon.Resource, span ptrace.Span) {
			link := span.Links().AppendEmpty()
			link.SetTraceID(pcommon.TraceID{1})
			link.SetSpanID(pcommon.SpanID{1})
			put(link.Attributes())
		},
	}
	traces := map[string]string{} // place → trace id
	for place, set := range places {
		traces[place] = s.pushWith(t, "acme", time.Hour, set).TraceID().String()
	}
	for scope, want := range map[string][]string{
		"span.": {"span"}, "resource.": {"resource"}, "event.": {"event"}, "link.": {"link"},
		// No span of Restate has the attribute in its resource.
		".": {"span", "resource"},
	} {
		var ids []string
		for _, place := range want {
			ids = append(ids, traces[place])
		}
		slices.Sort(ids)
		query := "{ " + scope + `restate.invocation.id = "` + knownID + `" }`
		until(t, query, func() error {
			if got := traceIDs(s.direct(t, "acme", s.shown(query, 2*time.Hour, 0))); !slices.Equal(got, ids) {
				return fmt.Errorf("Tempo finds %v, want %v of %v", got, ids, traces)
			}
			return nil
		})
	}
}
