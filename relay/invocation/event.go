package invocation

import (
	"math"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/correlate"
)

const (
	kindSpan = "span"
	kindLog  = "log"
)

func spanEvent(s *span, relation string) Event {
	d := s.data
	e := SpanEvent{
		TraceID: d.TraceID().String(), SpanID: d.SpanID().String(), ParentSpanID: d.ParentSpanID().String(),
		Name: d.Name(), End: timeOf(s.end()), Status: strings.ToLower(d.Status().Code().String()), Message: d.Status().Message(),
	}
	if d.Attributes().Len() > 0 {
		e.Attributes = attributes(d.Attributes())
	}
	if name, ok := s.resource.Get("service.name"); ok && name.Type() == pcommon.ValueTypeStr {
		e.Service = name.Str()
	}
	for _, p := range d.Events().All() {
		e.Events = append(e.Events, spanPoint(p))
	}
	return Event{Kind: kindSpan, Time: timeOf(s.start), Invocation: text(s.owner), Relation: relation, Span: &e}
}

// attributes are a span's, as JSON can have them.
func attributes(m pcommon.Map) map[string]any {
	all := m.AsRaw()
	for name, v := range all {
		all[name] = finite(v)
	}
	return all
}

// finite spells the numbers that JSON doesn't have, in place where it can.
func finite(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	case []any:
		for i := range v {
			v[i] = finite(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = finite(v[name])
		}
	}
	return v
}

func spanPoint(p ptrace.SpanEvent) SpanPoint {
	point := SpanPoint{Time: timeOf(nanos(p.Timestamp())), Name: p.Name()}
	if p.Attributes().Len() > 0 {
		point.Attributes = attributes(p.Attributes())
	}
	return point
}

func lineEvent(l *line, owner correlate.InvocationID, relation string) Event {
	level := l.meta["level"]
	if detected := l.meta["detected_level"]; level == "" && detected != "unknown" {
		level = detected // by Loki
	}
	return Event{
		Kind: kindLog, Time: timeOf(l.at), Invocation: text(owner), Relation: relation,
		Log: &LogEvent{Labels: l.stream.labels, Metadata: l.meta, Level: level, Line: l.text},
	}
}

// text spells an id, and nothing for none.
func text(id correlate.InvocationID) string {
	if id == none {
		return ""
	}
	return id.String()
}
