package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	allProtocols = []string{lokiPush, logsHTTP, logsGRPC, tracesHTTP, tracesGRPC}
	recordings   = filepath.Join("..", "..", "testdata", "restate")
)

// Requests hold as many items as they should, and none twice: engines drop what
// they know.
func TestRequestsAreDistinct(t *testing.T) {
	const batch = 100
	for _, protocol := range allProtocols {
		t.Run(protocol, func(t *testing.T) {
			requests, err := encodeRequests(recordings, protocol, batch, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, r := range requests {
				for _, id := range identities(t, protocol, r.body) {
					seen[id] = true
				}
			}
			if want := len(requests) * batch; len(seen) != want {
				t.Errorf("%d distinct items in %d requests, want %d", len(seen), len(requests), want)
			}
		})
	}
}

// identities are what an engine tells items apart by.
func identities(t *testing.T, protocol string, body []byte) (ids []string) {
	t.Helper()
	switch protocol {
	case lokiPush:
		decoded, err := snappy.Decode(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		var req push.PushRequest
		if err := req.Unmarshal(decoded); err != nil {
			t.Fatal(err)
		}
		for _, entry := range req.Streams[0].Entries {
			ids = append(ids, entry.Timestamp.String()+entry.Line)
		}
	case logsHTTP, logsGRPC:
		req := plogotlp.NewExportRequest()
		if err := req.UnmarshalProto(body); err != nil {
			t.Fatal(err)
		}
		for _, record := range req.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			ids = append(ids, record.Timestamp().String()+record.Body().Str())
		}
	default:
		req := ptraceotlp.NewExportRequest()
		if err := req.UnmarshalProto(body); err != nil {
			t.Fatal(err)
		}
		for _, span := range req.Traces().ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
			if span.TraceID() == (pcommon.TraceID{}) || time.Since(span.EndTimestamp().AsTime()) > time.Hour {
				t.Errorf("%s has no trace or is old", span.Name())
			}
			ids = append(ids, span.TraceID().String()+span.SpanID().String())
		}
	}
	return ids
}

// process runs one of this program's processes within the test.
func process(t *testing.T, stdin io.Reader, args ...string) *json.Decoder {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, args, stdin, in, io.Discard)
		in.Close()
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%v: %v", args, err)
		}
	})
	return json.NewDecoder(out)
}

// Every protocol reaches the stub, at full speed and paced, and what was
// acknowledged is what the stub counts.
func TestLoadReachesStub(t *testing.T) {
	var stub stubAddresses
	if err := process(t, nil, "stub").Decode(&stub); err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	client := &runningStub{stubAddresses: stub}
	var before stubState
	for _, protocol := range allProtocols {
		for _, rate := range []float64{0, 500} {
			e := otlpEndpoint(protocol, stub.HTTP, stub.GRPC)
			if protocol == lokiPush {
				e = endpoint{Address: stub.HTTP, Path: "/loki/api/v1/push"}
			}
			spec, err := json.Marshal(load{
				Endpoint: e, Protocol: protocol, Recordings: recordings, Batch: 7, Room: 1 << 16,
				Connections: 4, Duration: 100 * time.Millisecond, Rate: rate,
			})
			if err != nil {
				t.Fatal(err)
			}
			output := process(t, io.MultiReader(bytes.NewReader(spec), strings.NewReader(`"go"`)), "load")
			var ready string
			var got outcome
			if err := output.Decode(&ready); err != nil {
				t.Fatal(err)
			}
			if err := output.Decode(&got); err != nil {
				t.Fatal(err)
			}
			after, err := client.state(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if seen := int(after.Requests - before.Requests); got.Requests == 0 || got.Refused+got.Failed != 0 ||
				seen != got.Requests || got.Items != got.Requests*7 || got.P99 == 0 {
				t.Errorf("%s at %v: the load says %+v, the stub saw %d requests", protocol, rate, got, seen)
			}
			before = after
		}
	}
}

// The stalled tenant, and nobody else, gets what the stub was told.
func TestStubStallsOneTenant(t *testing.T) {
	var stub stubAddresses
	if err := process(t, nil, "stub").Decode(&stub); err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	client := &runningStub{stubAddresses: stub}
	for how, want := range map[string]int{stallNot: 204, stall429: 429, stall503: 503} {
		if err := client.stall(t.Context(), how); err != nil {
			t.Fatal(err)
		}
		for tenant, want := range map[string]int{stalledTenant: want, "neighbour": 204} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+stub.HTTP+"/loki/api/v1/push", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Scope-OrgID", tenant)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("stall %s: %s gets %d, want %d", how, tenant, resp.StatusCode, want)
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	durations := []time.Duration{4, 1, 3, 2, 5}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.99: 4, 1: 5} {
		if got := quantile(durations, q); got != want {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing = %v", got)
	}
}
