package ingest

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/relay/fault"
)

// nested is an OTLP request of one log record whose body is levels of arrays.
func nested(levels int) []byte {
	value := []byte{}
	wrap := func(field byte, message []byte) []byte { // a length-delimited field
		return append(binary.AppendUvarint([]byte{field<<3 | 2}, uint64(len(message))), message...)
	}
	if levels < 1000 {
		for range levels {
			value = wrap(5, wrap(1, value)) // AnyValue.array_value, ArrayValue.values
		}
	} else { // prepending a million times would take for ever: write the headers from the inside out, then turn them round
		var heads [][]byte
		size := 0
		for range levels {
			for _, field := range []byte{1, 5} {
				head := binary.AppendUvarint([]byte{field<<3 | 2}, uint64(size))
				heads = append(heads, head)
				size += len(head)
			}
		}
		slices.Reverse(heads)
		value = bytes.Join(heads, nil)
	}
	record := wrap(5, value)                 // LogRecord.body
	return wrap(1, wrap(2, wrap(2, record))) // resource_logs, scope_logs, log_records
}

// A value printed or flattened by recursion would overflow the stack, which ends
// the process.
func TestDeeplyNestedValuesAreRefused(t *testing.T) {
	proto := header("Content-Type", "application/x-protobuf")
	for levels, want := range map[int]int{3: 200, maxDepth: 200, 2 * maxDepth: 400, 5000: 400, 1_000_000: 400} {
		f := newFixture(t)
		f.opts.MaxBytes = 16 << 20
		if w := do(f.OTLPLogs, fault.OTLP, proto, nested(levels)); w.Code != want {
			t.Errorf("%d levels: %d %q", levels, w.Code, w.Body)
		}
		asJSON := `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":` +
			strings.Repeat(`{"kvlistValue":{"values":[{"key":"k","value":`, levels) + `{"stringValue":"]}\\\"{["}` + strings.Repeat(`}]}}`, levels) + `}]}]}]}`
		f.opts.MaxBytes = 64 << 20
		if w := do(f.OTLPLogs, fault.OTLP, header("Content-Type", "application/json"), []byte(asJSON)); w.Code != want {
			t.Errorf("%d levels of JSON: %d %q", levels, w.Code, w.Body)
		}
	}
	// Where values stand in traces: resource, scope, span, event, link.
	for _, where := range []func(ptrace.Traces) pcommon.Map{
		func(tr ptrace.Traces) pcommon.Map { return tr.ResourceSpans().At(0).Resource().Attributes() },
		func(tr ptrace.Traces) pcommon.Map {
			return tr.ResourceSpans().At(0).ScopeSpans().At(0).Scope().Attributes()
		},
		func(tr ptrace.Traces) pcommon.Map {
			return tr.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Attributes()
		},
		func(tr ptrace.Traces) pcommon.Map {
			return tr.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Events().AppendEmpty().Attributes()
		},
		func(tr ptrace.Traces) pcommon.Map {
			return tr.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Links().AppendEmpty().Attributes()
		},
	} {
		traces := spans(1, 0)
		m := where(traces)
		for range 2 * maxDepth {
			m = m.PutEmptyMap("m")
		}
		body, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
		if err != nil {
			t.Fatal(err)
		}
		if w := do(newFixture(t).OTLPTraces, fault.OTLP, proto, body); w.Code != http.StatusBadRequest {
			t.Errorf("traces: %d", w.Code)
		}
	}
}
