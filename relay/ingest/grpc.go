package ingest

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/invoscope/invoscope/relay/fault"
)

// TenantOf returns the tenant that a gRPC call was authenticated for.
type TenantOf func(ctx context.Context) (string, error)

// Register adds OTLP's trace and log services to a gRPC server, which must have
// the [Codec]. Its interceptors must have authenticated the call. The errors of
// the services are gRPC statuses.
func (in *Ingest) Register(s *grpc.Server, tenantOf TenantOf) {
	s.RegisterService(in.service("opentelemetry.proto.collector.trace.v1.TraceService", "opentelemetry/proto/collector/trace/v1/trace_service.proto", tenantOf,
		func(ctx context.Context, tenant string, body []byte) (protoMarshaler, error) {
			return in.exportTraces(ctx, tenant, body)
		}), in)
	s.RegisterService(in.service("opentelemetry.proto.collector.logs.v1.LogsService", "opentelemetry/proto/collector/logs/v1/logs_service.proto", tenantOf,
		func(ctx context.Context, tenant string, body []byte) (protoMarshaler, error) {
			return in.exportLogs(ctx, tenant, body)
		}), in)
}

type protoMarshaler interface{ MarshalProto() ([]byte, error) }

type export func(ctx context.Context, tenant string, body []byte) (protoMarshaler, error)

// service describes a service of one unary method, Export, whose messages are
// left as they are.
func (in *Ingest) service(name, file string, tenantOf TenantOf, export export) *grpc.ServiceDesc {
	call := func(ctx context.Context, req any) (any, error) {
		tenant, err := tenantOf(ctx)
		if err != nil {
			return nil, fault.Status(err).Err()
		}
		body := req.(*rawMessage).bytes()
		if most := in.maxBytes(tenant); int64(len(body)) > most {
			return nil, fault.Status(tooLarge(most)).Err()
		}
		resp, err := export(ctx, tenant, body)
		if err != nil {
			return nil, fault.Status(err).Err()
		}
		return resp, nil
	}
	method := func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		req := new(rawMessage)
		if err := decode(req); err != nil {
			return nil, err
		}
		defer req.buffer.Free()
		if interceptor == nil {
			return call(ctx, req)
		}
		return interceptor(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/" + name + "/Export"}, call)
	}
	return &grpc.ServiceDesc{
		ServiceName: name,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: method}},
		Metadata:    file,
	}
}

// rawMessage is a request whose bytes are to be used as they came.
type rawMessage struct{ buffer mem.Buffer }

func (m *rawMessage) bytes() []byte { return m.buffer.ReadOnlyData() }

// Codec is gRPC's codec for a server of [Ingest.Register]: requests stay encoded.
type Codec struct{ proto encoding.CodecV2 }

// NewCodec returns a codec for [grpc.ForceServerCodecV2].
func NewCodec() Codec { return Codec{encoding.GetCodecV2("proto")} }

// Name is that of the codec it stands for.
func (c Codec) Name() string { return c.proto.Name() }

// Marshal encodes a response.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	resp, ok := v.(protoMarshaler)
	if !ok {
		return c.proto.Marshal(v)
	}
	body, err := resp.MarshalProto()
	if err != nil {
		return nil, fmt.Errorf("encode the response: %w", err)
	}
	return mem.BufferSlice{mem.SliceBuffer(body)}, nil
}

// Unmarshal takes a request.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	req, ok := v.(*rawMessage)
	if !ok {
		return c.proto.Unmarshal(data, v)
	}
	req.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}
