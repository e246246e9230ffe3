package relay

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/relay/ingest"
	"github.com/invoscope/invoscope/relay/queue"
	"github.com/invoscope/invoscope/tenancy"
)

// The conformance tables say of each protocol that takes data in what its clients
// are answered and what becomes of what they sent. The requests go through the
// real handlers, tokens and all.

// What the tables' relay takes. Its clock stands at noon.
const (
	tableBytes = 64 << 10
	tableItem  = 10_000
	tableAge   = time.Hour
	tableLead  = time.Minute
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// stores is what the requests of one test have left, and how they fail.
type stores struct {
	logs, dead, traces store
}

type store struct {
	bodies [][]byte
	tenant string
	err    error
}

func (s *store) Append(_ context.Context, tenant string, req queue.Request) error {
	if s.err != nil {
		return s.err
	}
	s.tenant, s.bodies = tenant, append(s.bodies, bytes.Clone(req.Body))
	return nil
}

func (s *store) Bury(ctx context.Context, tenant, _ string, req queue.Request) error {
	return s.Append(ctx, tenant, req)
}

// String is what was stored, the entries as "{labels} -1s line key=value", where
// -1s is the time since noon, the spans as "tenant name".
func (s *stores) String() string {
	all := append(s.logs.entries(""), s.dead.entries("dead ")...)
	for _, body := range s.traces.bodies {
		traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
		if err != nil {
			return err.Error()
		}
		for _, rs := range traces.ResourceSpans().All() {
			tenant, _ := rs.Resource().Attributes().Get("tenant")
			for _, ss := range rs.ScopeSpans().All() {
				for _, span := range ss.Spans().All() {
					all = append(all, tenant.AsString()+" "+span.Name())
				}
			}
		}
	}
	return strings.Join(all, "; ")
}

func (s *store) entries(prefix string) (all []string) {
	for _, body := range s.bodies {
		raw, err := s2.Decode(nil, body)
		if err != nil {
			return []string{err.Error()}
		}
		var req push.PushRequest
		if err := req.Unmarshal(raw); err != nil {
			return []string{err.Error()}
		}
		for _, stream := range req.Streams {
			for _, e := range stream.Entries {
				one := fmt.Sprintf("%s%s %s %.20s", prefix, stream.Labels, e.Timestamp.Sub(noon), e.Line)
				for _, l := range e.StructuredMetadata {
					one += fmt.Sprintf(" %s=%.20s", l.Name, l.Value)
				}
				all = append(all, one)
			}
		}
	}
	return all
}

func newTable(t *testing.T) (*Relay, *stores) {
	t.Helper()
	s := &stores{}
	in, err := ingest.New(ingest.Options{
		Logs: &s.logs, Traces: &s.traces, DeadLogs: &s.dead, TenantKey: "tenant", MaxBytes: tableBytes, MaxItemBytes: tableItem,
		LogMaxAge: tableAge, SpanMaxAge: tableAge, MaxLead: tableLead, Registerer: prometheus.NewRegistry(), Now: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{
		Loki: &fakeEngine{name: "loki"}, Tempo: &fakeEngine{name: "tempo"}, Ingest: in, MaxBytes: tableBytes,
		Authenticator: fakeAuthenticator{"good": {Tenant: "acme", Scopes: tenancy.Scopes()}},
		Log:           slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}), s
}

// at is a time d after noon.
func at(d time.Duration) time.Time { return noon.Add(d) }

func stamp(d time.Duration) pcommon.Timestamp { return pcommon.NewTimestampFromTime(at(d)) }

// headers are given as names and values in turn.
type headers []string

func (h headers) header() http.Header {
	all := http.Header{}
	for pair := range slices.Chunk(h, 2) {
		all.Set(pair[0], pair[1])
	}
	return all
}

// failures are what can go wrong behind a request.
var failures = map[string]error{
	"the queue is full":     queue.ErrFull,
	"too large for a queue": queue.ErrTooLarge,
	"the disk is full":      fmt.Errorf("write /secret/path: no space left on device"),
}

func (s *stores) fail(err error) { s.logs.err, s.traces.err, s.dead.err = err, err, err }

// line is an entry that a Loki client pushes.
func line(d time.Duration, text string, meta ...string) push.Entry {
	e := push.Entry{Timestamp: at(d), Line: text}
	for pair := range slices.Chunk(meta, 2) {
		e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: pair[0], Value: pair[1]})
	}
	return e
}

func encodePush(t *testing.T, streams ...push.Stream) []byte {
	t.Helper()
	raw, err := (&push.PushRequest{Streams: streams}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return s2.EncodeSnappy(nil, raw)
}
