package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The protocols of the load generator.
const (
	lokiPush   = "loki-push"
	logsHTTP   = "otlp-logs-http"
	logsGRPC   = "otlp-logs-grpc"
	tracesHTTP = "otlp-traces-http"
	tracesGRPC = "otlp-traces-grpc"
)

// endpoint is where requests of one protocol go.
type endpoint struct {
	Address string            // "HOST:PORT" or "unix:PATH"
	Path    string            // of HTTP; the full method of gRPC
	Header  map[string]string // goes with every request
}

// The full methods of OTLP/gRPC.
const (
	methodLogs   = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
	methodTraces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
)

func isGRPC(protocol string) bool { return strings.HasSuffix(protocol, "-grpc") }
func isLogs(protocol string) bool { return !strings.Contains(protocol, "traces") }

// answer is what became of a request.
type answer int

const (
	acknowledged answer = iota
	refused             // for now: to be sent again later
	failed              // anything else
)

// sender sends one request at a time.
type sender interface {
	send(ctx context.Context, body []byte) (answer, error)
	close()
}

// httpSender is one HTTP/1.1 connection. It is written by hand because net/http's
// client costs more than the relay that is measured.
type httpSender struct {
	endpoint endpoint
	prefix   string // the head of a request, up to the content's length

	conn   net.Conn
	reader *bufio.Reader
}

func newHTTPSender(e endpoint) *httpSender {
	var head strings.Builder
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-protobuf\r\n", e.Path)
	for name, value := range e.Header {
		fmt.Fprintf(&head, "%s: %s\r\n", name, value)
	}
	return &httpSender{endpoint: e, prefix: head.String() + "Content-Length: "}
}

func (s *httpSender) send(ctx context.Context, body []byte) (answer, error) {
	code, err := s.roundTrip(ctx, body)
	if err != nil {
		s.close()
		return failed, err
	}
	switch code {
	case http.StatusOK, http.StatusNoContent:
		return acknowledged, nil
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return refused, nil
	}
	return failed, fmt.Errorf("status %d", code)
}

func (s *httpSender) roundTrip(ctx context.Context, body []byte) (int, error) {
	if s.conn == nil {
		network, address := "tcp", s.endpoint.Address
		if path, ok := strings.CutPrefix(address, "unix:"); ok {
			network, address = "unix", path
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return 0, err // names the address
		}
		s.conn, s.reader = conn, bufio.NewReader(conn)
	}
	if err := s.conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, fmt.Errorf("set a deadline: %w", err)
	}
	head := s.prefix + strconv.Itoa(len(body)) + "\r\n\r\n"
	if _, err := (&net.Buffers{[]byte(head), body}).WriteTo(s.conn); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	resp, err := http.ReadResponse(s.reader, nil)
	if err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	return resp.StatusCode, nil
}

func (s *httpSender) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// grpcSender shares its connection with others.
type grpcSender struct {
	conn   *grpc.ClientConn
	method string
	header metadata.MD
}

func dialGRPC(e endpoint) (*grpc.ClientConn, error) {
	target := e.Address
	if !strings.HasPrefix(target, "unix:") {
		target = "passthrough:///" + target
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", target, err)
	}
	return conn, nil
}

func (s *grpcSender) send(ctx context.Context, body []byte) (answer, error) {
	var reply []byte
	err := s.conn.Invoke(metadata.NewOutgoingContext(ctx, s.header), s.method, body, &reply)
	switch status.Code(err) {
	case codes.OK:
		return acknowledged, nil
	case codes.Unavailable, codes.ResourceExhausted:
		return refused, nil
	}
	return failed, err
}

// close may be called again by another sender of the connection.
func (s *grpcSender) close() { _ = s.conn.Close() }

// rawCodec takes encoded messages as they are and keeps nothing of what it reads
// but its size: *[]byte becomes empty, *int the number of bytes.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	body, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("marshal %T: want []byte", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(body)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if n, ok := v.(*int); ok {
		*n = data.Len()
	}
	return nil
}
