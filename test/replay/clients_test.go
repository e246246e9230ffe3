//go:build integration

package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/test/harness"
)

// TestClients uses the commands and calls that the README names, and what
// Grafana calls besides, on the recording.
func TestClients(t *testing.T) {
	d := harness.Start(t)
	tn := &tenant{Client: d.Client(), recording: load(t, time.Minute)}
	tail := harness.Spawn(t, logcli(t, tn.Client, "query", "--quiet", "--no-labels", "--output=raw", "-f", `{kubernetes_container_name="restate"}`))
	tn.send(t, []export{overHTTP(d.OTLPHTTP+"/v1/traces", "application/x-protobuf", ""), overGRPC(d.OTLPGRPC, "")})
	tn.awaitAll(t)

	t.Run("logcli query -f", func(t *testing.T) {
		// The recording is older than the tail's start but for what comes now.
		harness.Poll(t, visibleLimit, "a line is tailed", func() error {
			line := fmt.Sprintf("tailed %d", time.Now().UnixNano())
			ship(t, tn.Client, []string{line})
			if !strings.Contains(tail.Output(), "tailed ") {
				return fmt.Errorf("logcli wrote %q", tail.Output())
			}
			return nil
		})
	})
	for _, c := range []struct {
		args []string
		want []string // all of them stand in the output
	}{
		{[]string{"labels"}, []string{"kubernetes_container_name", "cluster", "tenant"}},
		{[]string{"labels", "kubernetes_container_name"}, []string{"restate"}},
		{[]string{"series", "{}"}, []string{`cluster="recorded"`, `tenant="default"`}},
		{[]string{"stats", `{tenant="default"}`}, []string{"entries:"}},
		{[]string{"volume", `{tenant="default"}`}, []string{"["}},
		{[]string{"instant-query", `sum(count_over_time({kubernetes_container_name="restate"}[1h]))`}, []string{`"value"`}},
		{[]string{"detected-fields", `{kubernetes_container_name="restate"}`}, []string{"restate_invocation_id"}},
		{[]string{"query", "--no-labels", "{kubernetes_container_name=\"restate\"} != `DEBUG` | json fields | line_format `{{ .fields }}`"}, []string{"message"}},
	} {
		t.Run("logcli "+c.args[0], func(t *testing.T) {
			out, err := tn.Logcli(t, append([]string{c.args[0], "--quiet"}, c.args[1:]...)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in %.500s", want, out)
				}
			}
		})
	}
	for path, want := range map[string]string{
		"/ready":                        "ready",
		"/loki/api/v1/status/buildinfo": `"version":"3.`,
		"/api/status/buildinfo":         `"version":"2.`,
		"/api/echo":                     "echo",
		"/api/search/tags":              "restate.invocation.id",
		"/api/v2/search/tags":           "restate.invocation.id",
		"/api/search/tag/restate.invocation.target/values":                      "Greeter/greet",
		"/api/v2/search/tag/span.restate.invocation.target/values":              "Greeter/greet",
		"/api/traces/" + tn.distinctTraces()[0]:                                 "batches",
		"/loki/api/v1/query?query=vector(1)%2bvector(1)&time=4000000000":        `"2"`,
		"/api/metrics/query_range?since=1h&q=" + url.QueryEscape("{} | rate()"): "series",
	} {
		t.Run("GET "+path, func(t *testing.T) {
			body, err := tn.Get(t.Context(), path, "application/json")
			if err != nil || !strings.Contains(string(body), want) {
				t.Errorf("%.500s, %v", body, err)
			}
		})
	}
	t.Run("streaming search over gRPC", func(t *testing.T) { tn.checkStreaming(t, d) })
	t.Run("grafana provision", func(t *testing.T) { checkProvisioning(t, d) })
}

func logcli(t *testing.T, c harness.Client, args ...string) *exec.Cmd {
	cmd := exec.Command(harness.Binary(t, "logcli"), args...)
	cmd.Env = append(os.Environ(), "LOKI_ADDR="+c.URL, "LOKI_BEARER_TOKEN_FILE="+c.TokenFile)
	return cmd
}

// checkStreaming searches as Grafana does with streaming on, and is refused
// without a token.
func (tn *tenant) checkStreaming(t *testing.T, d *harness.Daemon) {
	conn, err := grpc.NewClient(strings.TrimPrefix(d.HTTP, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	token, err := tn.Token()
	if err != nil {
		t.Fatal(err)
	}
	invocation := tn.invocations[0]
	ids, err := streamSearch(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token), conn, traceQuery(invocation.ID))
	if err := errors.Join(err, same(invocation.traceIDs(), ids)); err != nil {
		t.Error(err)
	}
	if _, err := streamSearch(t.Context(), conn, "{}"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
}

// checkProvisioning sees that the file names the daemon, and that its token
// works.
func checkProvisioning(t *testing.T, d *harness.Daemon) {
	out, err := exec.Command(harness.Binary(t, "invoscope"), "grafana", "provision", "--data-dir", d.DataDir).Output()
	if err != nil {
		t.Fatal(err)
	}
	token, err := d.Client().Token()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"url: " + d.HTTP, "Bearer " + token, "type: loki", "type: tempo", `"restate.invocation.id":"(.+?)"`,
		`{ .restate.invocation.id="$${__value.raw}" }`, `{kubernetes_container_name="restate"} |= "$${__span.tags["restate.invocation.id"]}"`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}

// bytesCodec passes messages through as they are on the wire.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, errors.New("not bytes")
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return errors.New("not bytes")
	}
	*b = data.Materialize()
	return nil
}

// streamSearch calls tempopb.StreamingQuerier/Search and returns the ids of the
// traces in its answers, sorted.
func streamSearch(ctx context.Context, conn *grpc.ClientConn, query string) ([]string, error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/tempopb.StreamingQuerier/Search", grpc.ForceCodecV2(bytesCodec{}))
	if err != nil {
		return nil, err
	}
	// tempopb.SearchRequest: limit = 4, start = 5, end = 6, query = 8.
	req := protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.VarintType), 100)
	req = protowire.AppendVarint(protowire.AppendTag(req, 5, protowire.VarintType), uint64(time.Now().Add(-time.Hour).Unix()))
	req = protowire.AppendVarint(protowire.AppendTag(req, 6, protowire.VarintType), uint64(time.Now().Unix()))
	req = protowire.AppendString(protowire.AppendTag(req, 8, protowire.BytesType), query)
	if err := errors.Join(stream.SendMsg(req), stream.CloseSend()); err != nil {
		return nil, err
	}
	var ids []string
	for {
		var answer []byte
		err := stream.RecvMsg(&answer)
		if errors.Is(err, io.EOF) {
			slices.Sort(ids)
			return slices.Compact(ids), nil
		}
		if err != nil {
			return nil, err
		}
		// tempopb.SearchResponse: traces = 1, each with its id = 1.
		for _, trace := range fields(answer, 1) {
			for _, id := range fields(trace, 1) {
				ids = append(ids, fmt.Sprintf("%032s", id))
			}
		}
	}
}

// fields returns the values of a message's fields of bytes with a number.
func fields(message []byte, number protowire.Number) [][]byte {
	var values [][]byte
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return values
		}
		length := protowire.ConsumeFieldValue(n, kind, message[size:])
		if length < 0 {
			return values
		}
		if n == number && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message[size:])
			values = append(values, value)
		}
		message = message[size+length:]
	}
	return values
}
