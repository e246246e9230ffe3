package harness

import (
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Span is one span, flat, with what tests look at. Ids are hexadecimal, and
// empty where the span has none.
type Span struct {
	TraceID, SpanID, ParentID string
	Name                      string
	Start, End                time.Time
	Failed                    bool   // the status is ERROR
	Message                   string // of the status
	Attributes                map[string]any
	Resource                  map[string]any
	Links                     []Link
}

// Link is a span's pointer to a span of any trace.
type Link struct{ TraceID, SpanID string }

// Spans flattens OTLP data, in its order.
func Spans(traces ptrace.Traces) []Span {
	var spans []Span
	for _, resource := range traces.ResourceSpans().All() {
		attributes := resource.Resource().Attributes().AsRaw()
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				spans = append(spans, flatten(span, attributes))
			}
		}
	}
	return spans
}

func flatten(span ptrace.Span, resource map[string]any) Span {
	flat := Span{
		TraceID:    span.TraceID().String(),
		SpanID:     span.SpanID().String(),
		ParentID:   span.ParentSpanID().String(),
		Name:       span.Name(),
		Start:      span.StartTimestamp().AsTime(),
		End:        span.EndTimestamp().AsTime(),
		Failed:     span.Status().Code() == ptrace.StatusCodeError,
		Message:    span.Status().Message(),
		Attributes: span.Attributes().AsRaw(),
		Resource:   resource,
	}
	for _, link := range span.Links().All() {
		flat.Links = append(flat.Links, Link{TraceID: link.TraceID().String(), SpanID: link.SpanID().String()})
	}
	return flat
}
