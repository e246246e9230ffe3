package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	exportLogs   = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
	exportTraces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
)

// grpcPort serves the OTLP/gRPC port on loopback and returns its address.
func (f *fixture) grpcPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- f.relay.GRPC().Serve(ln) }()
	t.Cleanup(func() {
		f.relay.GRPC().Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// h2c returns a client that speaks HTTP/2 without TLS.
func h2c(t *testing.T) *http.Client {
	t.Helper()
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &p}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// rawCall is a gRPC call whose message is given as its bytes.
type rawCall struct {
	method, token, encoding string
	message                 []byte
}

// send returns the status of the call.
func (c rawCall) send(t *testing.T, addr string) string {
	t.Helper()
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(c.message)))
	if c.encoding != "" {
		frame[0] = 1
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+c.method, bytes.NewReader(append(frame, c.message...)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	if c.encoding != "" {
		req.Header.Set("Grpc-Encoding", c.encoding)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := h2c(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.Header.Get("Grpc-Status") + resp.Trailer.Get("Grpc-Status")
}

// zstdFrame is a zstd frame by hand (RFC 8878): n blocks, each of 128 KiB zeros
// in 4 bytes, and a window of 2^windowLog bytes.
func zstdFrame(windowLog byte, n int) []byte {
	const size, rle, last = 128 << 10 << 3, 1 << 1, 1
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3}
	for i := range n {
		header := uint32(size | rle)
		if i == n-1 {
			header |= last
		}
		frame = append(frame, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return frame
}

// A message that can't be decoded, or is far too large, tells whether a call was
// authorized first.
func TestCallsAreAuthorizedBeforeTheirMessageIsRead(t *testing.T) {
	f := newFixture(t)
	addr := f.grpcPort(t)
	messages := map[string]struct {
		encoding string
		message  []byte
		want     string // with a good token
	}{
		"not a message": {"", []byte{0xff, 0xff, 0xff}, "3"},
		"not zstd":      {"zstd", []byte("not zstd"), "13"},
		"a bomb":        {"zstd", zstdFrame(20, 8192), "8"},
	}
	for name, m := range messages {
		for token, want := range map[string]string{"": "16", "forged": "16", "none": "7", "read": "7", "good": m.want} {
			for _, method := range []string{exportLogs, exportTraces} {
				if got := (rawCall{method, token, m.encoding, m.message}).send(t, addr); got != want {
					t.Errorf("%s, token %q, %s: status %s, want %s", name, token, method, got, want)
				}
			}
		}
	}
}

func TestMethodsThatTheGRPCPortDoesNotServe(t *testing.T) {
	f := newFixture(t)
	addr := f.grpcPort(t)
	for _, method := range []string{
		"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", "/frontend.Frontend/Process",
		"/tempopb.StreamingQuerier/Search", "/grpc.health.v1.Health/Check", "/x", "/v1/logs",
	} {
		if got := (rawCall{method: method, token: "good"}).send(t, addr); got != "12" {
			t.Errorf("%s: status %s, want 12 (unimplemented)", method, got)
		}
	}
	if f.tempo.last() != nil {
		t.Error("an engine was asked")
	}
}

// A small message can't make us take much memory, on either port.
func TestBombsTakeLittleMemory(t *testing.T) {
	f := newFixture(t)
	public := f.publicPort(t)
	for name, addr := range map[string]string{"the gRPC port": f.grpcPort(t), "the public port": public} {
		for what, bomb := range map[string][]byte{
			"1 GiB of zeros":      zstdFrame(20, 8192),
			"a window of 512 MiB": zstdFrame(29, 8192),
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if got := (rawCall{exportTraces, "good", "zstd", bomb}).send(t, addr); got != "8" && got != "13" {
				t.Errorf("%s, %s: status %s, want a refusal", name, what, got)
			}
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 48<<20 {
				t.Errorf("%s, %s: took %d MiB", name, what, took>>20)
			}
		}
	}
}

func (f *fixture) logsClient(t *testing.T, addr string) plogotlp.GRPCClient {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return plogotlp.NewGRPCClient(conn)
}

func logsRequest(line string) plogotlp.ExportRequest {
	logs := plog.NewLogs()
	logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr(line)
	return plogotlp.NewExportRequestFromLogs(logs)
}

func TestCompressedCalls(t *testing.T) {
	for _, encoding := range []string{"identity", "gzip", "zstd"} {
		t.Run(encoding, func(t *testing.T) {
			f := newFixture(t)
			for _, addr := range []string{f.grpcPort(t), f.publicPort(t)} {
				client := f.logsClient(t, addr)
				ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer good")
				for range 3 { // with encoders and decoders that were used before
					if _, err := client.Export(ctx, logsRequest(strings.Repeat("line ", 10_000)), grpc.UseCompressor(encoding)); err != nil {
						t.Fatal(err)
					}
				}
				_, err := client.Export(ctx, logsRequest(strings.Repeat("x", 2<<20)), grpc.UseCompressor(encoding))
				if status.Code(err) != codes.ResourceExhausted {
					t.Errorf("a message over the limit: %v", err)
				}
			}
			if got := f.logs.kept["acme"]; got != 6 {
				t.Errorf("%d requests were kept, want 6", got)
			}
		})
	}
}

func TestPanicsEndTheCallAlone(t *testing.T) {
	f := newFixture(t)
	client := f.logsClient(t, f.grpcPort(t))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer good")
	f.logs.panics = true
	_, err := client.Export(ctx, logsRequest("a"))
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "a bug") {
		t.Errorf("a call that panics: %v", err)
	}
	f.logs.panics = false
	if _, err := client.Export(ctx, logsRequest("a")); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestNoServiceIsReachedWithoutAnIdentity(t *testing.T) {
	f := newFixture(t)
	reached := func(context.Context, any) (any, error) {
		t.Error("the service was reached")
		return nil, nil
	}
	_, err := f.relay.intercept(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: exportLogs}, reached)
	if status.Code(err) != codes.Internal {
		t.Errorf("%v", err)
	}
}
