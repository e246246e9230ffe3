//go:build integration

package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/invoscope/invoscope/test/harness"
)

// ship sends lines as a user does who has no shipper.
func ship(t *testing.T, c harness.Client, lines []string) {
	t.Helper()
	shipAs(t, c, "recorded", lines)
}

func shipAs(t *testing.T, c harness.Client, cluster string, lines []string) {
	t.Helper()
	cmd := c.Ship(t, "cluster="+cluster)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("invoscope ship: %v\n%s", err, out)
	}
}

// export is a way to send spans; it returns how many were refused.
type export func(t *testing.T, token string, traces ptrace.Traces) int

func overGRPC(addr, encoding string) export {
	return func(t *testing.T, token string, traces ptrace.Traces) int {
		t.Helper()
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
		resp, err := ptraceotlp.NewGRPCClient(conn).Export(ctx, ptraceotlp.NewExportRequestFromTraces(traces), grpc.UseCompressor(encoding))
		if err != nil {
			t.Fatalf("export over gRPC: %v", err)
		}
		return int(resp.PartialSuccess().RejectedSpans())
	}
}

func overHTTP(url, contentType, encoding string) export {
	return func(t *testing.T, token string, traces ptrace.Traces) int {
		t.Helper()
		req := ptraceotlp.NewExportRequestFromTraces(traces)
		resp := ptraceotlp.NewExportResponse()
		encode, decode := req.MarshalProto, resp.UnmarshalProto
		if contentType == "application/json" {
			encode, decode = req.MarshalJSON, resp.UnmarshalJSON
		}
		body, err := encode()
		if err != nil {
			t.Fatal(err)
		}
		answer := post(t.Context(), t, url, http.Header{
			"Authorization": {"Bearer " + token}, "Content-Type": {contentType}, "Content-Encoding": {encoding},
		}, compress(t, encoding, body))
		if err := decode(answer); err != nil {
			t.Fatalf("decode the answer %q: %v", answer, err)
		}
		return int(resp.PartialSuccess().RejectedSpans())
	}
}

func post(ctx context.Context, t *testing.T, url string, header http.Header, body []byte) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %s: %s", url, resp.Status, answer)
	}
	if got, want := resp.Header.Get("Content-Type"), header.Get("Content-Type"); got != want {
		t.Errorf("POST %s: the answer's type is %q, want %q", url, got, want)
	}
	return answer
}

func compress(t *testing.T, encoding string, body []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&buf)
	case "zstd":
		zw, err := zstd.NewWriter(&buf)
		if err != nil {
			t.Fatal(err)
		}
		w = zw
	default:
		return body
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
