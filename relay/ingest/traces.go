package ingest

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/relay/queue"
)

// refusal says what of an OTLP request was not taken: its partial success.
type refusal struct {
	count  int64
	reason string
}

// storeTraces stores OTLP spans. Spans without a trace id or a span id are refused
// and the rest is kept: Tempo refuses a whole request for one of them, and
// Restate sends them for invocations whose traceparent isn't sampled.
func (in *Ingest) storeTraces(ctx context.Context, tenant string, traces ptrace.Traces) (refusal, error) {
	kept, refused := in.tagSpans(tenant, traces)
	in.metrics.refused.WithLabelValues("traces", "zero_id").Add(float64(refused))
	if kept > 0 {
		body, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
		if err != nil {
			return refusal{}, fmt.Errorf("encode the spans: %w", err)
		}
		if err := store(ctx, in.opts.Traces, tenant, queue.Request{Body: body, Items: kept}); err != nil {
			return refusal{}, err
		}
		in.metrics.accepted.WithLabelValues("traces").Add(float64(kept))
		in.metrics.acceptedBytes.WithLabelValues("traces").Add(float64(len(body)))
	}
	if refused == 0 {
		return refusal{}, nil
	}
	return refusal{count: int64(refused), reason: fmt.Sprintf("%d spans without a trace id or span id", refused)}, nil
}

// tagSpans removes the spans without ids and makes the tenant's key say who sent
// the rest, wherever a sender has put it.
func (in *Ingest) tagSpans(tenant string, traces ptrace.Traces) (kept, refused int) {
	forged := func(name string, _ pcommon.Value) bool { return name == in.opts.TenantKey }
	for _, rs := range traces.ResourceSpans().All() {
		rs.Resource().Attributes().RemoveIf(forged)
		rs.Resource().Attributes().PutStr(in.opts.TenantKey, tenant)
		for _, ss := range rs.ScopeSpans().All() {
			ss.Scope().Attributes().RemoveIf(forged)
			ss.Spans().RemoveIf(func(s ptrace.Span) bool {
				if s.TraceID().IsEmpty() || s.SpanID().IsEmpty() {
					refused++
					return true
				}
				s.Attributes().RemoveIf(forged)
				kept++
				return false
			})
		}
	}
	return kept, refused
}
