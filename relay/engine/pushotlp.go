package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// otlpExport is the method of OTLP/gRPC that takes traces.
const otlpExport = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// probeTenant is the tenant of the empty request that asks whether the
// receiver is there. Nothing is stored for it.
const probeTenant = "invoscope"

// otlpPusher delivers ExportTraceServiceRequests over OTLP/gRPC.
type otlpPusher struct {
	conn   *grpc.ClientConn
	header []string // pairs of metadata keys and values
}

// otlpTarget is where and how an OTLP receiver is reached.
type otlpTarget struct {
	address string                           // host:port, or anything dial understands
	dial    dialFunc                         // nil for TCP
	creds   credentials.TransportCredentials // never nil
	header  []string                         // pairs of metadata keys and values
}

func newOTLPPusher(target otlpTarget) (*otlpPusher, error) {
	scheme := "dns:///"
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(target.creds),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})),
		grpc.WithDisableServiceConfig(),
		// A child that comes back is to be found within a second; gRPC's own
		// backoff goes to two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if target.dial != nil {
		scheme = "passthrough:///"
		opts = append(opts, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return target.dial(ctx, "", address)
		}))
	}
	conn, err := grpc.NewClient(scheme+target.address, opts...)
	if err != nil {
		return nil, fmt.Errorf("set up the OTLP connection: %w", err)
	}
	return &otlpPusher{conn: conn, header: target.header}, nil
}

func (p *otlpPusher) push(ctx context.Context, tenant string, body []byte) error {
	pairs := append([]string{strings.ToLower(TenantHeader), tenant}, p.header...)
	var answer []byte
	err := p.conn.Invoke(metadata.AppendToOutgoingContext(ctx, pairs...), otlpExport, body, &answer)
	if ctxErr := ctx.Err(); err != nil && ctxErr != nil {
		return fmt.Errorf("push to tempo: %w", ctxErr)
	}
	if err != nil {
		return grpcPushError(err)
	}
	return partialSuccess(answer)
}

// ready sends a request without spans: the receiver acknowledges it and has
// nothing to do.
func (p *otlpPusher) ready(ctx context.Context) error {
	p.conn.ResetConnectBackoff()
	return p.push(ctx, probeTenant, nil)
}

func (p *otlpPusher) close() { _ = p.conn.Close() }

// partialSuccess tells of spans that the receiver refused for good while it
// took the others (OTLP specification, "Partial Success").
func partialSuccess(answer []byte) error {
	if len(answer) == 0 {
		return nil
	}
	resp := ptraceotlp.NewExportResponse()
	if err := resp.UnmarshalProto(answer); err != nil {
		// It was acknowledged; what else the answer says can't change that.
		return nil
	}
	if n := resp.PartialSuccess().RejectedSpans(); n > 0 {
		return &PushError{Permanent: true, Err: fmt.Errorf("%d spans rejected: %s",
			n, bounded(resp.PartialSuccess().ErrorMessage()))}
	}
	return nil
}

// grpcPushError maps a gRPC status. The codes that condemn the bytes are few;
// see [isPermanentStatus] for why the rest is retried.
func grpcPushError(err error) error {
	st := status.Convert(err)
	short := status.Error(st.Code(), bounded(st.Message()))
	pushErr := &PushError{Err: fmt.Errorf("tempo: %w", short)}
	switch st.Code() {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		pushErr.Permanent = true
	case codes.Internal:
		// What gRPC answers to bytes that aren't a request.
		pushErr.Permanent = strings.Contains(st.Message(), "unmarshal")
	case codes.ResourceExhausted:
		// A full receiver and a request that can never fit have the same code.
		pushErr.Permanent = strings.Contains(st.Message(), "message larger than max")
		pushErr.RetryAfter = retryDelay(st)
	case codes.Unavailable:
		pushErr.Err = fmt.Errorf("tempo: %w: %w", ErrUnavailable, short)
		pushErr.RetryAfter = retryDelay(st)
	}
	return pushErr
}

// retryDelay is the wait that a status asks for in a RetryInfo detail.
func retryDelay(st *status.Status) time.Duration {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return min(max(info.GetRetryDelay().AsDuration(), 0), maxRetryAfter)
		}
	}
	return 0
}

// bounded cuts an engine's message to [maxMessage] bytes.
func bounded(message string) string {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "")
	}
	return message
}

// rawCodec passes requests and answers through as the bytes they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	body, ok := v.([]byte)
	if !ok {
		return nil, errors.New("marshal: not bytes")
	}
	return mem.BufferSlice{mem.SliceBuffer(body)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	body, ok := v.(*[]byte)
	if !ok {
		return errors.New("unmarshal: not bytes")
	}
	*body = data.Materialize()
	return nil
}

// Name is the content subtype: the bytes are protobuf.
func (rawCodec) Name() string { return "proto" }
