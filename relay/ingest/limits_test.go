package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/relay/fault"
)

// allowance is what tenants may send.
type allowance struct {
	most  int64
	err   error
	asked []string
}

func (a *allowance) MaxRequestBytes(string) int64 { return a.most }

func (a *allowance) Ingest(tenant string, bytes, spans int64) error {
	a.asked = append(a.asked, fmt.Sprint(tenant, " ", bytes, " ", spans))
	return a.err
}

func logRecords(n int) plog.Logs {
	l := plog.NewLogs()
	records := l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for range n {
		records.AppendEmpty().Body().SetStr("a line")
	}
	return l
}

// entrances are the ways in over HTTP. Each sends n log entries or spans, and returns
// the answer and how many bytes these are as protobuf.
func entrances(t *testing.T) map[string]func(f *fixture, n int) (w *httptest.ResponseRecorder, size int) {
	t.Helper()
	must := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	streams := func(n int) push.Stream {
		s := push.Stream{Labels: `{a="b"}`}
		for range n {
			s.Entries = append(s.Entries, pushed("a line"))
		}
		return s
	}
	protobuf, asJSON := header("Content-Type", typeProtobuf), header("Content-Type", typeJSON)
	return map[string]func(f *fixture, n int) (*httptest.ResponseRecorder, int){
		"push": func(f *fixture, n int) (*httptest.ResponseRecorder, int) {
			s := streams(n)
			return do(f.LokiPush, fault.Plain, header(), protoPush(t, s)), (&push.PushRequest{Streams: []push.Stream{s}}).Size()
		},
		"push JSON": func(f *fixture, n int) (*httptest.ResponseRecorder, int) {
			values := strings.TrimSuffix(strings.Repeat(`["5000000006","a line"],`, n), ",")
			s := streams(n)
			return do(f.LokiPush, fault.Plain, asJSON.Clone(), []byte(`{"streams":[{"stream":{"a":"b"},"values":[`+values+`]}]}`)), (&push.PushRequest{Streams: []push.Stream{s}}).Size()
		},
		"OTLP logs": func(f *fixture, n int) (*httptest.ResponseRecorder, int) {
			body := encodeLogs(t, logRecords(n))
			return do(f.OTLPLogs, fault.OTLP, protobuf.Clone(), body), len(body)
		},
		"OTLP logs JSON": func(f *fixture, n int) (*httptest.ResponseRecorder, int) {
			body := must(plogotlp.NewExportRequestFromLogs(logRecords(n)).MarshalJSON())
			return do(f.OTLPLogs, fault.OTLP, asJSON.Clone(), body), len(encodeLogs(t, logRecords(n)))
		},
		"OTLP traces": func(f *fixture, n int) (*httptest.ResponseRecorder, int) {
			body := must(ptraceotlp.NewExportRequestFromTraces(spans(n, 0)).MarshalProto())
			return do(f.OTLPTraces, fault.OTLP, protobuf.Clone(), body), len(body)
		},
		"OTLP traces JSON": func(f *fixture, n int) (*httptest.ResponseRecorder, int) {
			req := ptraceotlp.NewExportRequestFromTraces(spans(n, 0))
			return do(f.OTLPTraces, fault.OTLP, asJSON.Clone(), must(req.MarshalJSON())), len(must(req.MarshalProto()))
		},
	}
}

// Each request is asked about once, with its size, and is stored only if it may.
func TestRequestsAreAskedAbout(t *testing.T) {
	for name, send := range entrances(t) {
		t.Run(name, func(t *testing.T) {
			f, a := newFixture(t), &allowance{}
			f.opts.Limits = a
			w, size := send(f, 3)
			want := fmt.Sprint("acme ", size, " ", 0)
			if strings.Contains(name, "traces") {
				want = fmt.Sprint("acme ", size, " ", 3)
			}
			if w.Code/100 != 2 || len(f.logs.bodies)+len(f.traces.bodies) != 1 {
				t.Errorf("%d %s: %d stored", w.Code, w.Body, len(f.logs.bodies)+len(f.traces.bodies))
			}
			if len(a.asked) != 1 || a.asked[0] != want {
				t.Errorf("asked for %q, want %q", a.asked, want)
			}
			a.err = &fault.Error{Kind: fault.Limited, Message: "too much", RetryAfter: 1500 * time.Millisecond}
			w, _ = send(f, 3)
			if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "2" || !strings.Contains(w.Body.String(), "too much") {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			if len(f.logs.bodies)+len(f.traces.bodies) != 1 {
				t.Error("what was refused is stored")
			}
		})
	}
}

func TestTenantsHaveASizeOfTheirOwn(t *testing.T) {
	for name, send := range entrances(t) {
		t.Run(name, func(t *testing.T) {
			f, a := newFixture(t), &allowance{}
			f.opts.Limits = a
			_, size := send(f, 20)
			if strings.HasSuffix(name, "JSON") {
				size *= 20 // as JSON it is larger
			}
			a.most = int64(size)
			if w, _ := send(f, 20); w.Code/100 != 2 {
				t.Errorf("a request of that size: %d %s", w.Code, w.Body)
			}
			a.most, a.asked = int64(size)-1, nil
			if strings.HasSuffix(name, "JSON") {
				a.most = int64(size) / 20
			}
			w, _ := send(f, 20)
			if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), fmt.Sprintf("larger than %d bytes", a.most)) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if len(a.asked) > 0 {
				t.Error("it counts:", a.asked)
			}
			a.most = 1 << 40
			f.opts.MaxBytes = 10
			if w, _ := send(f, 20); w.Code != http.StatusRequestEntityTooLarge {
				t.Errorf("a tenant may send more than anybody: %d", w.Code)
			}
		})
	}
}

// A body isn't read beyond what its tenant may send, however well it is compressed.
func TestNoMoreIsReadThanATenantMaySend(t *testing.T) {
	f := newFixture(t)
	f.opts.Limits = &allowance{most: 2000}
	body := encodeLogs(t, logRecords(5000))
	packed := zipped(t, body)
	if len(packed) > 2000 {
		t.Fatalf("%d bytes compressed", len(packed))
	}
	if w := do(f.OTLPLogs, fault.OTLP, header("Content-Type", typeProtobuf, "Content-Encoding", "gzip"), packed); w.Code != http.StatusRequestEntityTooLarge {
		t.Error(w.Code, w.Body)
	}
	r := httptest.NewRequest(http.MethodPost, "/", unread{t})
	r.Header, r.ContentLength = header("Content-Type", typeProtobuf), 2001
	if err := f.OTLPLogs(httptest.NewRecorder(), r, "acme"); fault.Of(err).Kind != fault.TooLarge {
		t.Error(err)
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("a body whose length is known to be too much was read")
	return 0, errors.New("no")
}

// Who refuses is asked after what is wrong with a request is known: that isn't paid for.
func TestBrokenRequestsAreNotPaidFor(t *testing.T) {
	f, a := newFixture(t), &allowance{}
	f.opts.Limits = a
	for _, serve := range []func(http.ResponseWriter, *http.Request, string) error{f.OTLPLogs, f.OTLPTraces, f.LokiPush} {
		if w := do(serve, fault.OTLP, header("Content-Type", typeProtobuf), []byte{0x0a, 0x7f}); w.Code != http.StatusBadRequest {
			t.Error(w.Code, w.Body)
		}
	}
	if len(a.asked) > 0 {
		t.Error(a.asked)
	}
}

// Being asked allocates nothing.
func TestAskingAllocatesNothing(t *testing.T) {
	f := newFixture(t)
	f.opts.Limits = quiet{}
	tenant := strings.Repeat("acme", 2)
	if n := testing.AllocsPerRun(100, func() {
		if err := f.allow(tenant, 100, 5); err != nil || f.maxBytes(tenant) != maxBytes {
			t.Fatal(err, f.maxBytes(tenant))
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// quiet allows everything.
type quiet struct{}

func (quiet) MaxRequestBytes(string) int64      { return 1 << 30 }
func (quiet) Ingest(string, int64, int64) error { return nil }
