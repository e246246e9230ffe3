package rebuild

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
	"github.com/invoscope/invoscope/relay/fault"
)

// tempo has traces of a tenant, each with one start span.
type tempo struct {
	tenant string
	traces []trace
	// respond, if it is set and answers something, answers instead.
	respond func(path string) *http.Response

	mu       sync.Mutex
	searches int
	reads    map[string]int
}

type trace struct {
	id pcommon.TraceID
	at time.Time
}

func invocation(n int) correlate.InvocationID {
	id := correlate.InvocationID{PartitionKey: 1}
	id.UUID[8], id.UUID[14], id.UUID[15] = 1, byte(n>>8), byte(n)
	return id
}

func (m *tempo) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.respond != nil {
		if resp := m.respond(r.URL.Path); resp != nil {
			return resp, nil
		}
	}
	if got := r.Header.Get("X-Scope-OrgID"); got != m.tenant {
		return answerWith(http.StatusUnauthorized, []byte("tenant "+got)), nil
	}
	if r.URL.Path == "/api/search" {
		m.searches++
		return m.search(r)
	}
	id := strings.TrimPrefix(r.URL.Path, "/api/traces/")
	m.reads[id]++
	for n, tr := range m.traces {
		if tr.id.String() == id {
			return answerWith(http.StatusOK, encode(n, tr)), nil
		}
	}
	return answerWith(http.StatusNotFound, nil), nil
}

func (m *tempo) search(r *http.Request) (*http.Response, error) {
	params := r.URL.Query()
	from, _ := strconv.ParseInt(params.Get("start"), 10, 64)
	to, _ := strconv.ParseInt(params.Get("end"), 10, 64)
	limit, _ := strconv.Atoi(params.Get("limit"))
	var found []map[string]string
	for _, tr := range m.traces {
		if tr.at.Unix() >= from && tr.at.Unix() <= to && len(found) < limit {
			found = append(found, map[string]string{"traceID": tr.id.String()})
		}
	}
	body, err := json.Marshal(map[string]any{"traces": found})
	return answerWith(http.StatusOK, body), err
}

func answerWith(status int, body []byte) *http.Response {
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: io.NopCloser(bytes.NewReader(body))}
}

func encode(n int, tr trace) []byte {
	traces := ptrace.NewTraces()
	s := traces.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	id := invocation(n)
	s.SetTraceID(tr.id)
	s.SetSpanID(pcommon.SpanID(id.UUID[8:]))
	s.SetName("invocation-start T")
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(tr.at))
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(tr.at))
	s.Attributes().PutStr("restate.invocation.id", id.String())
	body, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
	if err != nil {
		panic(err)
	}
	return body
}

func newIndex(t *testing.T) *index.Index {
	t.Helper()
	x, err := index.New(index.Options{
		Store: indextest.NewMemory(), Retention: func(string) time.Duration { return time.Hour },
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// begin is a time with a fraction of a second, as clocks have.
var begin = time.Unix(1795403640, 123456789)

// crowd has n traces within a second, so that windows have to be halved.
func crowd(n int) *tempo {
	m := &tempo{tenant: "acme", reads: map[string]int{}}
	for i := range n {
		m.traces = append(m.traces, trace{pcommon.TraceID{1, byte(i >> 8), byte(i)}, begin.Add(90*time.Minute + time.Duration(i)*time.Microsecond)})
	}
	return m
}

func TestEveryTraceIsReadOnce(t *testing.T) {
	m := crowd(searchLimit + 100)
	m.traces = append(m.traces,
		trace{pcommon.TraceID{2}, begin},
		trace{pcommon.TraceID{3}, begin.Add(3 * time.Hour)},
	)
	x := newIndex(t)
	var reports []Progress
	err := Rebuild(t.Context(), Options{Tempo: m, Index: x}, Range{"acme", begin, begin.Add(3 * time.Hour)}, func(p Progress) error {
		reports = append(reports, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, tr := range m.traces {
		if m.reads[tr.id.String()] != 1 {
			t.Fatalf("trace %s was read %d times", tr.id, m.reads[tr.id.String()])
		}
		if _, err := x.Get(t.Context(), "acme", invocation(n)); err != nil {
			t.Fatalf("invocation %d: %v", n, err)
		}
	}
	last := reports[len(reports)-1]
	if len(reports) != 3 || !last.Done || !last.Back.Equal(begin) || last.Traces != len(m.traces) || reports[0].Done {
		t.Errorf("reports: %+v", reports)
	}
}

func TestGoneAndBrokenTraces(t *testing.T) {
	m := crowd(3)
	m.respond = func(path string) *http.Response {
		switch path {
		case "/api/traces/" + m.traces[0].id.String():
			return answerWith(http.StatusNotFound, nil)
		case "/api/traces/" + m.traces[1].id.String():
			return answerWith(http.StatusOK, []byte("\xff\xff"))
		}
		return nil
	}
	var last Progress
	err := Rebuild(t.Context(), Options{Tempo: m, Index: newIndex(t)}, Range{"acme", begin, begin.Add(2 * time.Hour)}, func(p Progress) error {
		last = p
		return nil
	})
	if err != nil || last.Traces != 3 || last.Unreadable != 1 || last.Invocations != 1 {
		t.Errorf("%+v, %v", last, err)
	}
}

func server(t *testing.T, m *tempo) *Server {
	return NewServer(Options{Tempo: m, Index: newIndex(t), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return begin.Add(2 * time.Hour) }})
}

func TestAnswers(t *testing.T) {
	s := server(t, crowd(5))
	w := httptest.NewRecorder()
	if err := s.Rebuild(w, httptest.NewRequest(http.MethodPost, "/?since=2h", nil), "acme"); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	var last Progress
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 2 || !last.Done || last.Traces != 5 {
		t.Errorf("%s", w.Body)
	}
	for _, bad := range []string{"", "?since=", "?since=0s", "?since=yesterday", "?since=-3h"} {
		err := s.Rebuild(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/"+bad, nil), "acme")
		if fault.Of(err).Kind != fault.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestFailuresAreTold(t *testing.T) {
	m := crowd(5)
	m.respond = func(string) *http.Response {
		return answerWith(http.StatusInternalServerError, []byte("out of memory"))
	}
	w := httptest.NewRecorder()
	if err := server(t, m).Rebuild(w, httptest.NewRequest(http.MethodPost, "/?since=2h", nil), "acme"); err != nil {
		t.Fatal(err)
	}
	if got := w.Body.String(); !strings.Contains(got, `"error":"`) || strings.Contains(got, "memory") {
		t.Errorf("%s", got)
	}
}

func TestOneAtATime(t *testing.T) {
	m := crowd(1)
	s := server(t, m)
	m.respond = func(string) *http.Response {
		err := s.Rebuild(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/?since=2h", nil), "acme")
		if fault.Of(err).Kind != fault.Unavailable {
			t.Errorf("a second rebuild: %v", err)
		}
		return nil
	}
	if err := s.Rebuild(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/?since=2h", nil), "acme"); err != nil {
		t.Fatal(err)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reports := 0
	err := Rebuild(ctx, Options{Tempo: crowd(1), Index: newIndex(t)}, Range{"acme", begin, begin.Add(9 * time.Hour)}, func(Progress) error {
		reports++
		cancel()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) || reports != 1 {
		t.Errorf("%d reports, %v", reports, err)
	}
}
