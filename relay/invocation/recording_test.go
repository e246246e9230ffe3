package invocation

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
	"github.com/invoscope/invoscope/relay/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	recordings = "../../testdata/restate"
	acme       = "acme"
)

// truth is an invocation of invocations.json, which was counted from the recording
// by other means.
type truth struct {
	ID       string   `json:"invocation_id"`
	Target   string   `json:"target"`
	Labels   []string `json:"labels"`
	Caller   string   `json:"caller_invocation_id"`
	Relation string   `json:"relation"`
	TraceIDs []string `json:"trace_ids"`
	Spans    struct {
		Total int            `json:"total"`
		Kinds map[string]int `json:"by_kind"`
	} `json:"spans"`
}

// sampled says that it has spans, and not one without ids, which ingest drops.
func (t *truth) sampled() bool { return len(t.TraceIDs) > 0 && t.TraceIDs[0] != "" }

func readTruth(t testing.TB) []truth {
	t.Helper()
	var file struct {
		Runs map[string]struct {
			Invocations []truth `json:"invocations"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(readFile(t, "invocations.json"), &file); err != nil {
		t.Fatal(err)
	}
	return file.Runs["debug"].Invocations
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(recordings, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recordedSpans are the recording's spans, without the one that has no ids.
func recordedSpans(t testing.TB) ptrace.Traces {
	t.Helper()
	all := ptrace.NewTraces()
	for _, name := range []string{"traces-debug-01.otlp.pb", "traces-debug-02.otlp.pb"} {
		traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(readFile(t, name))
		if err != nil {
			t.Fatal(err)
		}
		traces.ResourceSpans().MoveAndAppendTo(all.ResourceSpans())
	}
	keepSpans(all, func(s ptrace.Span) bool { return !s.TraceID().IsEmpty() })
	return all
}

func keepSpans(traces ptrace.Traces, keep func(ptrace.Span) bool) {
	for _, rs := range traces.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			ss.Spans().RemoveIf(func(s ptrace.Span) bool { return !keep(s) })
		}
	}
}

// world is what a tenant's engines and the index know.
type world struct {
	mu      sync.Mutex
	traces  ptrace.Traces
	streams map[string]*push.Stream // by labels
	now     time.Time
}

func newWorld() *world { return &world{traces: ptrace.NewTraces(), streams: map[string]*push.Stream{}} }

// recorded is the world of the recording: the server's log and its spans.
func recorded(t testing.TB) *world {
	t.Helper()
	w := newWorld()
	w.traces = recordedSpans(t)
	lines := bufio.NewScanner(bytes.NewReader(readFile(t, "restate-debug.jsonl")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		at, ok := correlate.Timestamp(lines.Text())
		if !ok {
			t.Fatalf("no time in %s", lines.Text())
		}
		w.log(`{kubernetes_container_name="restate", tenant="acme"}`, at, lines.Text(), nil)
		w.now = at
	}
	return w
}

// log adds a line as ingest does.
func (w *world) log(labels string, at time.Time, line string, meta map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var facts correlate.Facts
	facts.Extract(line)
	all := map[string]string{
		correlate.MetaInvocationID: facts.InvocationID, "restate_related_invocation_ids": strings.Join(facts.Related, ","),
		"restate_invocation_target": facts.Target, "level": facts.Level,
	}
	maps.Copy(all, meta)
	e := push.Entry{Timestamp: at, Line: line}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] != "" {
			e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: name, Value: all[name]})
		}
	}
	if w.streams[labels] == nil {
		w.streams[labels] = &push.Stream{Labels: labels}
	}
	w.streams[labels].Entries = append(w.streams[labels].Entries, e)
}

// batch is what the index learns from the world.
func (w *world) batch(t testing.TB) *index.Batch {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var b index.Batch
	spans, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(w.traces)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Spans(spans); err != nil {
		t.Fatal(err)
	}
	var request push.PushRequest
	for _, s := range w.streams {
		request.Streams = append(request.Streams, *s)
	}
	lines, err := request.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Lines(lines); err != nil {
		t.Fatal(err)
	}
	return &b
}

// fixture is an API over worlds.
type fixture struct {
	*API
	index       *index.Index
	worlds      map[string]*world // by tenant
	loki, tempo *fakeEngine
}

func newFixture(t testing.TB, worlds map[string]*world) *fixture {
	t.Helper()
	x, err := index.New(index.Options{
		Store: indextest.NewMemory(), Retention: func(string) time.Duration { return time.Hour },
		Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{index: x, worlds: worlds}
	f.loki, f.tempo = &fakeEngine{answer: f.answerLoki}, &fakeEngine{answer: f.answerTempo}
	var now time.Time
	for tenant, w := range worlds {
		f.learn(t, tenant, w)
		now = w.now
	}
	f.API = New(Options{
		Index: x, Loki: f.loki, Tempo: f.tempo, TenantKey: "tenant", GrafanaURL: "http://grafana.example.com",
		Now: func() time.Time { return now },
	})
	return f
}

func (f *fixture) learn(t testing.TB, tenant string, w *world) {
	t.Helper()
	if err := f.index.Apply(t.Context(), tenant, w.batch(t)); err != nil {
		t.Fatal(err)
	}
}

// get asks the API as relay does.
func (f *fixture) get(t testing.TB, tenant, path string, header ...string) *http.Response {
	t.Helper()
	mux := http.NewServeMux()
	handle := func(pattern string, serve func(http.ResponseWriter, *http.Request, string) error) {
		mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r, tenant); err != nil {
				writeFault(w, r, err)
			}
		})
	}
	handle(base, f.List)
	handle(base+"/{id}", f.Show)
	handle(base+"/{id}/timeline", f.Timeline)
	handle(base+"/{id}/links", f.Links)
	handle("/api/invoscope/v1/openapi.yaml", f.OpenAPI)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w.Result()
}

const base = "/api/invoscope/v1/invocations"

func decode[T any](t testing.TB, resp *http.Response) (v T) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// fakeEngine answers queries of a tenant.
type fakeEngine struct {
	engine.Engine
	answer func(tenant string, r *http.Request) (status int, body []byte)
	mu     sync.Mutex
	err    error
	asked  int
}

func (e *fakeEngine) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	if e.err != nil {
		return nil, e.err
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	tenants := r.Header["X-Scope-Orgid"]
	if len(tenants) != 1 {
		return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody}, nil
	}
	status, body := e.answer(tenants[0], r)
	return &http.Response{StatusCode: status, Status: strconv.Itoa(status), Body: io.NopCloser(bytes.NewReader(body))}, nil
}

// answerTempo is a tempopb.TraceByIDResponse of the spans of a trace.
func (f *fixture) answerTempo(tenant string, r *http.Request) (int, []byte) {
	id, ok := strings.CutPrefix(r.URL.Path, "/api/v2/traces/")
	if !ok || r.Header.Get("Accept") != "application/protobuf" {
		return http.StatusBadRequest, nil
	}
	w := f.worlds[tenant]
	found := ptrace.NewTraces()
	if w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, rs := range w.traces.ResourceSpans().All() {
			copyTrace(rs, id, found)
		}
	}
	body, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(found)
	if err != nil {
		return http.StatusInternalServerError, nil
	}
	return http.StatusOK, protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), body)
}

// copyTrace adds a resource's spans of one trace.
func copyTrace(from ptrace.ResourceSpans, id string, to ptrace.Traces) {
	var spans ptrace.SpanSlice
	first := true
	for _, ss := range from.ScopeSpans().All() {
		for _, s := range ss.Spans().All() {
			if s.TraceID().String() != id {
				continue
			}
			if first {
				rs := to.ResourceSpans().AppendEmpty()
				from.Resource().CopyTo(rs.Resource())
				spans, first = rs.ScopeSpans().AppendEmpty().Spans(), false
			}
			s.CopyTo(spans.AppendEmpty())
		}
	}
}

var (
	idFilter    = regexp.MustCompile("restate_invocation_id=~`([^`]*)`")
	traceFilter = regexp.MustCompile(" or trace_id=~`([^`]*)`")
)

// answerLoki answers the range queries that this package makes.
func (f *fixture) answerLoki(tenant string, r *http.Request) (int, []byte) {
	q := r.URL.Query()
	query := q.Get("query")
	ids, traces := idFilter.FindStringSubmatch(query), traceFilter.FindStringSubmatch(query)
	if ids == nil || !strings.HasPrefix(query, "{tenant=`"+tenant+"`} | ") || r.URL.Path != "/loki/api/v1/query_range" {
		return http.StatusBadRequest, []byte(query)
	}
	start, _ := strconv.ParseInt(q.Get("start"), 10, 64)
	end, _ := strconv.ParseInt(q.Get("end"), 10, 64)
	limit, _ := strconv.Atoi(q.Get("limit"))
	if start >= end || limit < 1 || limit > 5000 || q.Get("direction") != "forward" {
		return http.StatusBadRequest, nil
	}
	wanted := map[string]bool{}
	for id := range strings.SplitSeq(ids[1], "|") {
		wanted["restate_invocation_id="+id] = true
	}
	if traces != nil {
		for id := range strings.SplitSeq(traces[1], "|") {
			wanted["trace_id="+id] = true
		}
	}
	return http.StatusOK, f.worlds[tenant].rangeQuery(wanted, start, end, limit)
}

func (w *world) rangeQuery(wanted map[string]bool, start, end int64, limit int) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	type found struct {
		labels string
		entry  push.Entry
	}
	var all []found
	for _, labels := range slices.Sorted(maps.Keys(w.streams)) {
		for _, e := range w.streams[labels].Entries {
			at := e.Timestamp.UnixNano()
			has := slices.ContainsFunc(e.StructuredMetadata, func(l push.LabelAdapter) bool { return wanted[l.Name+"="+l.Value] })
			if has && at >= start && at < end {
				all = append(all, found{labels, e})
			}
		}
	}
	slices.SortStableFunc(all, func(x, y found) int { return x.entry.Timestamp.Compare(y.entry.Timestamp) })
	all = all[:min(limit, len(all))]
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values []any             `json:"values"`
	}
	result := map[string]*stream{}
	for _, f := range all {
		s := result[f.labels]
		if s == nil {
			s = &stream{Stream: parseLabels(f.labels)}
			result[f.labels] = s
		}
		meta := map[string]string{}
		for _, l := range f.entry.StructuredMetadata {
			meta[l.Name] = l.Value
		}
		at := strconv.FormatInt(f.entry.Timestamp.UnixNano(), 10)
		s.Values = append(s.Values, []any{at, f.entry.Line, map[string]any{"structuredMetadata": meta}})
	}
	body, err := json.Marshal(map[string]any{"status": "success", "data": map[string]any{
		"resultType": "streams", "result": slices.Collect(maps.Values(result)), "stats": map[string]any{},
	}})
	if err != nil {
		panic(err)
	}
	return body
}

func parseLabels(text string) map[string]string {
	labels := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		labels[m[1]] = m[2]
	}
	return labels
}
