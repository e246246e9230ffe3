package invocation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/internal/wire"
)

// idAttribute is where a span carries its invocation's id.
const idAttribute = "restate.invocation.id"

// span is a span as Tempo has it, and whose it is.
type span struct {
	trace      index.TraceID
	id, parent index.SpanID
	start      int64 // nanoseconds since 1970
	// named is the invocation that the span itself names, or none; owner is the one
	// that it belongs to, or none.
	named, owner correlate.InvocationID
	// lost is set when it has no owner, and one of its ancestors wasn't seen.
	lost     bool
	data     ptrace.Span
	resource pcommon.Map
}

// end is the span's end, in nanoseconds since 1970.
func (s *span) end() int64 { return nanos(s.data.EndTimestamp()) }

// lastTime is the latest time that is told, in nanoseconds since 1970. There is room
// behind it for what is added to times.
const lastTime = math.MaxInt64 - int64(24*time.Hour)

// nanos is a span's time, which may be anything.
func nanos(t pcommon.Timestamp) int64 { return int64(min(uint64(t), uint64(lastTime))) }

// trace is what was read of a trace.
type trace struct {
	id    index.TraceID
	spans []span
	at    map[index.SpanID]int // the index in spans
	size  int                  // bytes, encoded
	// whole is set when all was read that Tempo has.
	whole bool
}

// traceRange is from when to when spans of a trace are looked for, in
// nanoseconds since 1970. Tempo looks only into blocks of that time.
type traceRange struct {
	id       index.TraceID
	from, to int64
}

// tracePad is how far around what the index knows of a trace its blocks are
// looked for: the index knows the times of spans with an invocation's id only.
const tracePad = int64(time.Hour)

// room is what may be read of traces yet.
type room struct{ spans, bytes int }

// readTrace asks Tempo for a trace, and takes what there is room for. The error
// is errNotThere when Tempo has no span of it.
func (a *API) readTrace(ctx context.Context, tenant string, r traceRange, left room) (*trace, error) {
	body, err := ask(ctx, a.opts.Tempo, tenant, question{
		path: "/api/v2/traces/" + r.id.String(),
		query: url.Values{
			"start": {seconds(r.from - tracePad)},
			"end":   {seconds(r.to + tracePad + int64(time.Second))},
		},
		header: http.Header{"Accept": {"application/protobuf"}},
		most:   left.bytes,
	})
	if err != nil {
		return nil, err
	}
	data, partial, err := decodeTrace(body)
	if err != nil {
		return nil, err
	}
	t := &trace{id: r.id, size: len(body), whole: !partial}
	t.take(data, left.spans)
	if len(t.spans) == 0 && t.whole {
		return nil, errNotThere
	}
	return t, nil
}

func seconds(ns int64) string { return strconv.FormatInt(max(0, ns/int64(time.Second)), 10) }

// The fields of tempopb.TraceByIDResponse. Its trace is OTLP's TracesData.
const (
	responseTrace  = 1
	responseStatus = 3 // 0 is complete, 1 partial
)

// decodeTrace reads a tempopb.TraceByIDResponse, and whether it is only a part of
// the trace.
func decodeTrace(body []byte) (traces ptrace.Traces, partial bool, err error) {
	var data []byte
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Is(responseTrace):
			data = f.Content
		case f.Number == responseStatus && f.Kind == protowire.VarintType:
			partial = f.Value != 0
		}
	}
	if f.Broken {
		return traces, false, errors.New("decode Tempo's answer: it is no message")
	}
	if traces, err = (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(data); err != nil {
		return traces, false, fmt.Errorf("decode a trace: %w", err)
	}
	return traces, partial, nil
}

// take flattens a trace's spans, at most limit.
func (t *trace) take(data ptrace.Traces, limit int) {
	for _, rs := range data.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				if len(t.spans) == limit {
					t.whole = false
					return
				}
				t.spans = append(t.spans, span{
					trace: t.id, id: index.SpanID(s.SpanID()), parent: index.SpanID(s.ParentSpanID()),
					start: nanos(s.StartTimestamp()), named: namedBy(s), data: s, resource: rs.Resource().Attributes(),
				})
			}
		}
	}
}

// namedBy is the invocation that a span names.
func namedBy(s ptrace.Span) correlate.InvocationID {
	v, ok := s.Attributes().Get(idAttribute)
	if !ok || v.Type() != pcommon.ValueTypeStr {
		return none
	}
	id, err := correlate.ParseInvocationID(v.Str())
	if err != nil {
		return none
	}
	return id
}
