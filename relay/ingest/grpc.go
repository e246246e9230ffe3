package ingest

import (
	"context"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"

	"github.com/invoscope/invoscope/relay/fault"
)

// TenantOf returns the tenant that a gRPC call was authenticated for.
type TenantOf func(ctx context.Context) (string, error)

// Register adds OTLP's trace and log services to a gRPC server. Its interceptors
// must have authenticated the call.
func (in *Ingest) Register(s *grpc.Server, tenantOf TenantOf) {
	ptraceotlp.RegisterGRPCServer(s, &traceService{in: in, tenantOf: tenantOf})
	plogotlp.RegisterGRPCServer(s, &logService{in: in, tenantOf: tenantOf})
}

type traceService struct {
	ptraceotlp.UnimplementedGRPCServer
	in       *Ingest
	tenantOf TenantOf
}

// Export stores spans; its errors are gRPC statuses.
func (s *traceService) Export(ctx context.Context, req ptraceotlp.ExportRequest) (ptraceotlp.ExportResponse, error) {
	tenant, err := s.tenantOf(ctx)
	if err != nil {
		return ptraceotlp.NewExportResponse(), fault.Status(err).Err()
	}
	resp, err := s.in.exportTraces(ctx, tenant, req)
	if err != nil {
		return resp, fault.Status(err).Err()
	}
	return resp, nil
}

type logService struct {
	plogotlp.UnimplementedGRPCServer
	in       *Ingest
	tenantOf TenantOf
}

// Export stores log records; its errors are gRPC statuses.
func (s *logService) Export(ctx context.Context, req plogotlp.ExportRequest) (plogotlp.ExportResponse, error) {
	resp := plogotlp.NewExportResponse()
	tenant, err := s.tenantOf(ctx)
	if err != nil {
		return resp, fault.Status(err).Err()
	}
	if err := s.in.storeLogs(ctx, tenant, req.Logs()); err != nil {
		return resp, fault.Status(err).Err()
	}
	return resp, nil
}
