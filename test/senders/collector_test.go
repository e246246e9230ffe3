//go:build integration

package senders

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/test/harness"
)

// collectorConfig has a receiver for each exporter, so that a test knows which way
// its data goes. The exporters' queue and retry are theirs by default, but that
// they never give up, come back soon and send few requests at a time.
const collectorConfig = `
receivers:
  otlp/for_grpc: {protocols: {http: {endpoint: %[1]q}}}
  otlp/for_http: {protocols: {http: {endpoint: %[2]q}}}
exporters:
  otlp_grpc:
    endpoint: %[3]q
    tls: {insecure: true}
    headers: {authorization: "Bearer ${file:%[5]s}"}
    sending_queue: &queue {num_consumers: %[7]d}
    retry_on_failure: &retry {initial_interval: 200ms, max_interval: 1s, max_elapsed_time: 0}
  otlp_http:
    endpoint: %[4]q
    auth: {authenticator: bearertokenauth}
    sending_queue: *queue
    retry_on_failure: *retry
extensions:
  bearertokenauth: {filename: %[5]q}
service:
  extensions: [bearertokenauth]
  telemetry:
    metrics:
      readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %[6]s, without_units: true}}}}]
  pipelines:
    logs/grpc: {receivers: [otlp/for_grpc], exporters: [otlp_grpc]}
    logs/http: {receivers: [otlp/for_http], exporters: [otlp_http]}
    traces/grpc: {receivers: [otlp/for_grpc], exporters: [otlp_grpc]}
    traces/http: {receivers: [otlp/for_http], exporters: [otlp_http]}
`

// consumers is how many requests of a signal an exporter has under way at a time.
const consumers = 2

// exporters are the ways out of the Collector.
var exporters = []string{"grpc", "http"}

// collector is a running Collector that sends to a relay.
type collector struct {
	*harness.Process
	receivers map[string]string // address by exporter
	metrics   string            // address
}

func startCollector(t *testing.T, r *relay) *collector {
	t.Helper()
	c := &collector{receivers: map[string]string{}, metrics: freeAddress(t)}
	for _, name := range exporters {
		c.receivers[name] = freeAddress(t)
	}
	// Where the relay's token file ends in a newline, a header would too.
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(r.token()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := bytes.Cut([]byte(c.metrics), []byte(":"))
	config := filepath.Join(t.TempDir(), "otelcol.yaml")
	content := fmt.Sprintf(collectorConfig, c.receivers["grpc"], c.receivers["http"], r.OTLPGRPC, r.OTLPHTTP, token, port, consumers)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Process = harness.Spawn(t, exec.Command(harness.Binary(t, "otelcol"), "--config", config))
	harness.Poll(t, 30*time.Second, "the Collector listens", func() error {
		for _, name := range exporters {
			if err := post(t.Context(), "http://"+c.receivers[name]+"/v1/logs", nil); err != nil {
				return err
			}
		}
		return nil
	})
	return c
}

// post sends OTLP as a program beside the Collector does.
func post(ctx context.Context, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// sendLogs gives the Collector lines for an exporter.
func (c *collector) sendLogs(ctx context.Context, exporter string, lines ...string) error {
	logs := plog.NewLogs()
	resource := logs.ResourceLogs().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "collector-"+exporter)
	records := resource.ScopeLogs().AppendEmpty().LogRecords()
	for _, line := range lines {
		record := records.AppendEmpty()
		record.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		record.Body().SetStr(line)
	}
	body, err := plogotlp.NewExportRequestFromLogs(logs).MarshalProto()
	if err != nil {
		return err
	}
	return post(ctx, "http://"+c.receivers[exporter]+"/v1/logs", body)
}

// sendTrace gives the Collector one trace for an exporter, with a span for each
// of the ids.
func (c *collector) sendTrace(ctx context.Context, exporter string, trace pcommon.TraceID, ids ...pcommon.SpanID) error {
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "collector-"+exporter)
	spans := resource.ScopeSpans().AppendEmpty().Spans()
	for _, id := range ids {
		span := spans.AppendEmpty()
		span.SetName("sent through a Collector")
		span.SetTraceID(trace)
		span.SetSpanID(id)
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		span.SetEndTimestamp(span.StartTimestamp() + pcommon.Timestamp(time.Millisecond))
	}
	body, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
	if err != nil {
		return err
	}
	return post(ctx, "http://"+c.receivers[exporter]+"/v1/traces", body)
}
