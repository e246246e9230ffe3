package ingest

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// Refused says what of an OTLP request was not taken: its partial success.
type Refused struct {
	Count  int64
	Reason string
}

// Traces stores OTLP spans. Spans without a trace id or a span id are refused
// and the rest is kept: Tempo refuses a whole request for one of them, and
// Restate sends them for invocations whose traceparent isn't sampled.
func (in *Ingest) Traces(ctx context.Context, tenant string, traces ptrace.Traces) (Refused, error) {
	kept, refused := 0, 0
	for _, rs := range traces.ResourceSpans().All() {
		rs.Resource().Attributes().PutStr(in.opts.TenantKey, tenant)
		for _, ss := range rs.ScopeSpans().All() {
			ss.Spans().RemoveIf(func(s ptrace.Span) bool {
				bad := s.TraceID().IsEmpty() || s.SpanID().IsEmpty()
				if bad {
					refused++
				} else {
					kept++
				}
				return bad
			})
		}
	}
	in.metrics.refused.WithLabelValues("traces", "zero_id").Add(float64(refused))
	if kept > 0 {
		body, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
		if err != nil {
			return Refused{}, fmt.Errorf("encode the spans: %w", err)
		}
		if err := store(ctx, in.opts.Traces, tenant, body); err != nil {
			return Refused{}, err
		}
		in.metrics.accepted.WithLabelValues("traces").Add(float64(kept))
		in.metrics.acceptedBytes.WithLabelValues("traces").Add(float64(len(body)))
	}
	if refused == 0 {
		return Refused{}, nil
	}
	return Refused{Count: int64(refused), Reason: fmt.Sprintf("%d spans without a trace id or span id", refused)}, nil
}
