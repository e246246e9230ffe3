//go:build integration

package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/invoscope/invoscope/test/harness"
)

const invocationID = "inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX"

// otlpLogs is what a collector on Kubernetes sends, with odd attributes.
func otlpLogs(at time.Time) plog.Logs {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	for name, value := range map[string]string{
		"service.name": "restate", "service.instance.id": "cluster/node", "k8s.namespace.name": "prod", "k8s.pod.name": "restate-0",
		"k8s.container.name": "restate", "host.name": "node-1", "9lives": "digit", "_private": "underscore", "weird key/ü": "punctuation",
	} {
		rl.Resource().Attributes().PutStr(name, value)
	}
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().SetName("otelcol/filelog")
	sl.Scope().SetVersion("1.2")
	sl.Scope().Attributes().PutBool("scope.flag", true)
	for i := range 3 {
		r := sl.LogRecords().AppendEmpty()
		r.SetObservedTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Duration(i) * time.Second)))
		r.SetSeverityText("WARN")
		r.SetSeverityNumber(plog.SeverityNumberWarn)
		r.SetTraceID([16]byte{15: byte(i)})
		r.SetSpanID([8]byte{7: byte(i)})
		r.SetFlags(plog.DefaultLogRecordFlags.WithIsSampled(true))
		r.SetDroppedAttributesCount(uint32(i))
		r.Body().SetStr(fmt.Sprintf(`{"level":"WARN","fields":{"message":"line %d","restate.invocation.id":"%s"}}`, i, invocationID))
		r.Attributes().PutStr("log.file.name", "restate.log")
		r.Attributes().PutInt("count", int64(i))
		nested := r.Attributes().PutEmptyMap("nested")
		nested.PutStr("in.ner", "x")
		nested.PutEmptySlice("list").AppendEmpty().SetInt(1)
	}
	// The last one: of records behind it we would say that they happened then, and
	// Loki that they did when they were observed.
	sl.LogRecords().At(2).SetTimestamp(pcommon.NewTimestampFromTime(at.Add(2500 * time.Millisecond)))
	return logs
}

// TestOTLPLogsAreStoredAsLokiWould sends the same records through Invoscope, in
// two ways, and to the same Loki's own OTLP endpoint: what we add is the only
// difference.
func TestOTLPLogsAreStoredAsLokiWould(t *testing.T) {
	d := harness.Start(t)
	at := time.Now().Add(-time.Minute)
	loki := lokiDirectly(d.DataDir)
	defer loki.CloseIdleConnections()
	req := plogotlp.NewExportRequestFromLogs(otlpLogs(at))
	body, err := req.MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	send(t, loki, "http://loki/otlp/v1/logs", http.Header{"X-Scope-OrgID": {"direct"}, "Content-Type": {"application/x-protobuf"}}, body)
	want := entries(t, loki, "http://loki", http.Header{"X-Scope-OrgID": {"direct"}}, 3)

	globex := d.ClientFor("globex", "logs:read", "logs:write")
	for tenant, c := range map[string]harness.Client{"default": d.Client(), "globex": globex} {
		token, err := c.Token()
		if err != nil {
			t.Fatal(err)
		}
		if tenant == "default" {
			exportLogs(t, d.OTLPGRPC, token, req)
		} else {
			asJSON, err := req.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			send(t, http.DefaultClient, d.OTLPHTTP+"/v1/logs", http.Header{
				"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Content-Encoding": {"gzip"},
			}, compress(t, "gzip", asJSON))
		}
		got := entries(t, http.DefaultClient, d.HTTP, http.Header{"Authorization": {"Bearer " + token}}, 3)
		for key, labels := range want {
			labels = maps.Clone(labels)
			labels["tenant"], labels["kubernetes_container_name"] = tenant, "restate"
			labels["restate_invocation_id"], labels["level"] = invocationID, "WARN"
			if diff := cmp.Diff(labels, got[key]); diff != "" {
				t.Errorf("%s, %s (-Loki's own and what we add, +ours):\n%s", tenant, key, diff)
			}
		}
	}
}

func exportLogs(t *testing.T, addr, token string, req plogotlp.ExportRequest) {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	if _, err := plogotlp.NewGRPCClient(conn).Export(ctx, req); err != nil {
		t.Fatal(err)
	}
}

// lokiDirectly reaches the child past the relay, as only its owner can.
func lokiDirectly(dataDir string) *http.Client {
	socket := filepath.Join(dataDir, "loki", "run", "http.sock:80")
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
}

func send(t *testing.T, c *http.Client, address string, header http.Header, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		answer, _ := io.ReadAll(resp.Body)
		t.Fatalf("POST %s: %s: %s", address, resp.Status, answer)
	}
}

// entries waits for n entries and returns their labels, stream labels and
// structured metadata together as Loki answers them, by time and line.
func entries(t *testing.T, c *http.Client, base string, header http.Header, n int) map[string]map[string]string {
	t.Helper()
	found := map[string]map[string]string{}
	query := base + "/loki/api/v1/query_range?" + url.Values{
		"query": {`{service_name="restate"}`}, "start": {strconv.FormatInt(time.Now().Add(-time.Hour).UnixNano(), 10)},
	}.Encode()
	harness.Poll(t, visibleLimit, "the entries are there", func() error {
		clear(found)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, query, nil)
		if err != nil {
			return err
		}
		req.Header = header
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		var answer struct {
			Data struct {
				Result []struct {
					Stream map[string]string
					Values [][2]string
				}
			}
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return errors.Join(err, errors.New(resp.Status))
		}
		for _, stream := range answer.Data.Result {
			for _, value := range stream.Values {
				found[value[0]+" "+value[1]] = stream.Stream
			}
		}
		if len(found) != n {
			return fmt.Errorf("%d entries, want %d", len(found), n)
		}
		return nil
	})
	return found
}
