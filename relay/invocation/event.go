package invocation

import (
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
		e.Attributes = d.Attributes().AsRaw()
	}
	if name, ok := s.resource.Get("service.name"); ok && name.Type() == pcommon.ValueTypeStr {
		e.Service = name.Str()
	}
	for _, p := range d.Events().All() {
		e.Events = append(e.Events, spanPoint(p))
	}
	return Event{Kind: kindSpan, Time: timeOf(s.start), Invocation: text(s.owner), Relation: relation, Span: &e}
}

func spanPoint(p ptrace.SpanEvent) SpanPoint {
	point := SpanPoint{Time: timeOf(int64(p.Timestamp())), Name: p.Name()}
	if p.Attributes().Len() > 0 {
		point.Attributes = p.Attributes().AsRaw()
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
