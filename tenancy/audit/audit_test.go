package audit

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/tenancy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var when = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("", 3600))

const token = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJ0ZW5hbnQiOiJhY21lIn0.c2lnbmF0dXJl"

func someRecord() *Record {
	return &Record{
		Time: when, Identity: tenancy.Identity{Issuer: "invoscope", Tenant: "acme", Subject: "grafana", TokenID: "t-1"},
		Method: "GET", Route: "/loki/api/v1/query_range", Host: "acme.example.com", Remote: "192.0.2.1:5000",
		Status: 200, In: 1, Out: 4096, Took: 12345 * time.Microsecond,
		Query: []Param{{"query", `{app="x"} |= "y"`}, {"limit", "100"}},
	}
}

// openAt opens a log, with a clock that stands still unless it is moved.
func openAt(t testing.TB, o Options) (*Log, *time.Time) {
	t.Helper()
	now := when
	o.Now = func() time.Time { return now }
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, &now
}

func TestLine(t *testing.T) {
	tests := map[string]struct {
		change func(*Record)
		want   string
	}{
		"a query":         {func(*Record) {}, `{"time":"2026-01-02T02:04:05.678901Z","tenant":"acme","subject":"grafana","jti":"t-1","issuer":"invoscope","method":"GET","route":"/loki/api/v1/query_range","host":"acme.example.com","remote":"192.0.2.1:5000","outcome":"ok","status":200,"bytes_in":1,"bytes_out":4096,"duration_ms":12.345,"query":[{"name":"query","value":"{app=\"x\"} |= \"y\""},{"name":"limit","value":"100"}]}`},
		"several tenants": {func(r *Record) { r.Identity = tenancy.Identity{Subject: "s", Reads: []string{"a", "b"}}; r.Query = nil }, `{"time":"2026-01-02T02:04:05.678901Z","tenants":["a","b"],"subject":"s","method":"GET","route":"/loki/api/v1/query_range","host":"acme.example.com","remote":"192.0.2.1:5000","outcome":"ok","status":200,"bytes_in":1,"bytes_out":4096,"duration_ms":12.345}`},
		"every tenant":    {func(r *Record) { *r = Record{Time: when, Identity: tenancy.Identity{ReadsAll: true}, Status: 200} }, `{"time":"2026-01-02T02:04:05.678901Z","tenants":["*"],"outcome":"ok","status":200,"bytes_in":0,"bytes_out":0,"duration_ms":0.000}`},
		"a denial": {func(r *Record) {
			*r = Record{Time: when, Method: "GET", Route: "/api/echo", Status: 401, Reason: "expired"}
		}, `{"time":"2026-01-02T02:04:05.678901Z","method":"GET","route":"/api/echo","outcome":"denied","status":401,"reason":"expired","bytes_in":0,"bytes_out":0,"duration_ms":0.000}`},
		"the beginning": {func(r *Record) { *r = Record{Time: when, Phase: Begin, Route: "/x", Status: 200} }, `{"time":"2026-01-02T02:04:05.678901Z","phase":"begin","route":"/x"}`},
		"a gRPC call":   {func(r *Record) { *r = Record{Time: when, Route: "/x", Code: "Unauthenticated", Reason: "expired"} }, `{"time":"2026-01-02T02:04:05.678901Z","route":"/x","outcome":"denied","grpc":"Unauthenticated","reason":"expired","bytes_in":0,"bytes_out":0,"duration_ms":0.000}`},
		"strange text": {func(r *Record) {
			*r = Record{Time: when, Path: "/\x1b[2J\n\"\\\xff\u2028\u202e\U000e0001é", Phase: Begin}
		}, `{"time":"2026-01-02T02:04:05.678901Z","phase":"begin","path":"/\u001b[2J\u000a\"\\\ufffd\u2028\u202e\udb40\udc01é"}`},
		"a token": {func(r *Record) {
			*r = Record{Time: when, Path: "/x?token=" + token, Phase: Begin, Query: []Param{{"query", "Bearer " + token}}}
		}, `{"time":"2026-01-02T02:04:05.678901Z","phase":"begin","path":"/x?token=<secret>","query":[{"name":"query","value":"Bearer <secret>"}]}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			l, _ := openAt(t, Options{File: Stderr, Stderr: &out})
			r := someRecord()
			tt.change(r)
			l.Record(r)
			if diff := cmp.Diff(tt.want+"\n", out.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if !json.Valid(out.Bytes()) {
				t.Error("it isn't JSON")
			}
		})
	}
}

func TestOutcome(t *testing.T) {
	tests := map[string]struct {
		record Record
		want   outcome
	}{
		"fine":                    {Record{Status: 200}, ok},
		"a WebSocket":             {Record{Status: 101}, ok},
		"no token":                {Record{Status: 401}, denied},
		"no scope":                {Record{Status: 403}, denied},
		"too much":                {Record{Status: 429}, limited},
		"nowhere":                 {Record{Status: 404}, refused},
		"an engine that is away":  {Record{Status: 503}, failed},
		"cut off":                 {Record{Status: 200, Reason: "expired"}, cut},
		"gRPC, fine":              {Record{Status: 200, Code: "OK"}, ok},
		"gRPC, no token":          {Record{Status: 200, Code: "Unauthenticated"}, denied},
		"gRPC, cut off":           {Record{Status: 200, Code: "Unauthenticated", Phase: End, Out: 1}, cut},
		"gRPC, too much":          {Record{Code: "ResourceExhausted"}, limited},
		"gRPC, a bad request":     {Record{Code: "InvalidArgument"}, refused},
		"gRPC, a failure":         {Record{Code: "Unavailable"}, failed},
		"gRPC, its client's gone": {Record{Code: "Canceled"}, cut},
	}
	for name, tt := range tests {
		if got := outcomeOf(&tt.record); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// TestLinesAreBounded sends the most of everything.
func TestLinesAreBounded(t *testing.T) {
	var out bytes.Buffer
	l, _ := openAt(t, Options{File: Stderr, Stderr: &out})
	long := strings.Repeat("\x00é", 1<<20)
	r := &Record{Time: when, Method: long, Route: long, Path: long, Host: long, Remote: long, Code: long, Reason: long, Status: 400}
	r.Identity = tenancy.Identity{Tenant: long, Subject: long, TokenID: long, Issuer: long, Reads: make([]string, 10_000)}
	for range 1000 {
		r.Query = append(r.Query, Param{long, long})
	}
	l.Record(r)
	if out.Len() > 128<<10 || !json.Valid(out.Bytes()) {
		t.Errorf("%d bytes, JSON %t", out.Len(), json.Valid(out.Bytes()))
	}
	if !strings.HasSuffix(out.String(), "}\n") || strings.Count(out.String(), "\n") != 1 {
		t.Error("it isn't one line")
	}
}

// TestStrangersAreFew floods the log with requests of nobody's.
func TestStrangersAreFew(t *testing.T) {
	var out bytes.Buffer
	registry := prometheus.NewRegistry()
	l, now := openAt(t, Options{File: Stderr, Stderr: &out, Registerer: registry})
	flood := func(n int) (lines []string) {
		out.Reset()
		for range n {
			l.Record(&Record{Time: when, Path: "/wp-login.php", Status: 404})
		}
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}
	if got := len(flood(10_000)); got != strangersAtOnce {
		t.Errorf("at once: %d lines, want %d", got, strangersAtOnce)
	}
	out.Reset()
	l.Record(someRecord())
	if out.Len() == 0 {
		t.Error("a known caller's line was left out")
	}
	// Whoever has a token that was taken back is one of them.
	out.Reset()
	refused := someRecord()
	refused.Status = 401
	l.Record(refused)
	if out.Len() != 0 {
		t.Errorf("a line more: %s", out.String())
	}
	*now = now.Add(10 * time.Second)
	lines := flood(10_000)
	if len(lines) != 10*strangersPerSecond || !strings.Contains(lines[0], `"suppressed":9801}`) || strings.Contains(lines[1], "suppressed") {
		t.Errorf("after ten seconds: %d lines, the first %s", len(lines), lines[0])
	}
	*now = now.Add(-time.Hour) // a clock that is set back doesn't stop it for an hour
	_ = flood(1)
	*now = now.Add(time.Second)
	if got := len(flood(100)); got != strangersPerSecond {
		t.Errorf("after the clock was set back: %d lines, want %d", got, strangersPerSecond)
	}
	if got := testutil.ToFloat64(l.metrics.suppressed); got != 10_000-200+1+10_000-50+1+95 {
		t.Errorf("%v lines are counted as suppressed", got)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"b\\c\x00\x7f\u202e\xff\xf0\x9f\x98", 5)
	f.Add(strings.Repeat("é", 300), 256)
	f.Add("Bearer abcdef1234567", 12)
	f.Fuzz(func(t *testing.T, s string, most int) {
		if most < 1 || most > 4096 {
			return
		}
		got := appendString(nil, s, most)
		var back string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if !utf8.Valid(got) || bytes.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q has what can't be printed", got)
		}
		if len(got) > 6*most+16 {
			t.Errorf("%d bytes of at most %d", len(got), most)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	for name, r := range map[string]*Record{"short": {Time: when, Identity: someRecord().Identity, Route: "/api/echo", Status: 200}, "query": someRecord()} {
		for _, to := range []string{"file", "nowhere"} {
			b.Run(name+"/"+to, func(b *testing.B) {
				o := Options{File: Stderr, Stderr: io.Discard}
				if to == "file" {
					o = Options{File: filepath.Join(b.TempDir(), "audit.log"), MaxBytes: 1 << 30}
				}
				l, _ := openAt(b, o)
				b.ReportAllocs()
				for b.Loop() {
					l.Record(r)
				}
			})
		}
	}
}
