package signal

import (
	"bytes"
	"fmt"
	"io"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

// Traces is the form of requests for Tempo.
type Traces struct{}

// Join makes one request of several: messages of protobuf, one after the other,
// are one message with the fields of all.
func (Traces) Join(bodies [][]byte) []byte { return bytes.Join(bodies, nil) }

// Split cuts a request into two with half of its spans each. ok is false when it
// has one span or none, or isn't such a request.
func (Traces) Split(body []byte) (first, second []byte, ok bool) {
	traces, err := decodeTraces(body)
	if err != nil || traces.SpanCount() < 2 {
		return nil, nil, false
	}
	rest := ptrace.NewTraces()
	traces.CopyTo(rest)
	cut := traces.SpanCount() / 2
	keepSpans(traces, func(i int) bool { return i < cut })
	keepSpans(rest, func(i int) bool { return i >= cut })
	first, errFirst := encoder.MarshalTraces(traces)
	second, errSecond := encoder.MarshalTraces(rest)
	return first, second, errFirst == nil && errSecond == nil
}

// keepSpans removes the spans whose number keep doesn't want, and what is empty
// then.
func keepSpans(traces ptrace.Traces, keep func(i int) bool) {
	i := -1
	traces.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
			ss.Spans().RemoveIf(func(ptrace.Span) bool {
				i++
				return !keep(i)
			})
			return ss.Spans().Len() == 0
		})
		return rs.ScopeSpans().Len() == 0
	})
}

// Print writes a request as OTLP in JSON.
func (Traces) Print(w io.Writer, body []byte) error {
	traces, err := decodeTraces(body)
	if err != nil {
		return err
	}
	text, err := new(ptrace.JSONMarshaler).MarshalTraces(traces)
	if err != nil {
		return fmt.Errorf("print the spans: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s\n", text); err != nil {
		return fmt.Errorf("print the spans: %w", err)
	}
	return nil
}

var encoder ptrace.ProtoMarshaler

func decodeTraces(body []byte) (ptrace.Traces, error) {
	traces, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(body)
	if err != nil {
		return traces, fmt.Errorf("decode the request: %w", err)
	}
	return traces, nil
}
