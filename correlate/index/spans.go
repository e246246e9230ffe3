package index

import (
	"cmp"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/internal/wire"
)

// The attributes of Restate's spans that matter here, of versions 1.6 and 1.7; see
// docs/restate.md.
const (
	attrInvocation = "restate.invocation.id"
	attrTarget     = "restate.invocation.target"
	attrResult     = "restate.invocation.result"
	attrStatus     = "restate.invocation.error.code"
	attrMessage    = "error.message"
	attrDeployment = "restate.deployment.id"
)

// Spans learns from an OTLP ExportTraceServiceRequest. It returns an error when the
// message can't be decoded; what came before is learnt.
func (b *Batch) Spans(request []byte) error {
	return each(request, 1, func(resourceSpans []byte) error {
		return each(resourceSpans, 2, func(scopeSpans []byte) error {
			return each(scopeSpans, 2, b.span)
		})
	})
}

// span is what a span says, as far as it is read. Its texts are those of the
// message.
type span struct {
	id, parent, link SpanID
	trace            TraceID
	name             []byte
	start, end       int64
	status           uint64 // 1 ok, 2 error
	suspended        bool
	yielded          bool

	invocation, target, result, failure, message, deployment []byte
}

func (b *Batch) span(body []byte) error {
	s := &b.scratch.span
	*s = span{}
	f := wire.Fields{Body: body}
	for f.Next() {
		if err := s.field(&f); err != nil {
			return err
		}
	}
	if f.Broken {
		return errWire
	}
	if len(s.invocation) == 0 || s.trace == (TraceID{}) || s.id == (SpanID{}) {
		return nil
	}
	id, err := correlate.ParseInvocationID(wire.Text(s.invocation))
	if err != nil {
		return nil // it isn't Restate's
	}
	if s.end = max(s.end, s.start); b.tooLate(s.end) {
		return nil
	}
	s.tell(b.record(id))
	return nil
}

// field reads one field of a Span.
func (s *span) field(f *wire.Fields) error {
	switch {
	case f.Is(1) && len(f.Content) == len(s.trace):
		s.trace = TraceID(f.Content)
	case f.Is(2) && len(f.Content) == len(s.id):
		s.id = SpanID(f.Content)
	case f.Is(4) && len(f.Content) == len(s.parent):
		s.parent = SpanID(f.Content)
	case f.Is(5):
		s.name = f.Content
	case f.Number == 7 && f.Kind == protowire.Fixed64Type:
		s.start = nanos(f.Value)
	case f.Number == 8 && f.Kind == protowire.Fixed64Type:
		s.end = nanos(f.Value)
	case f.Is(9):
		return s.attribute(f.Content)
	case f.Is(11):
		return s.event(f.Content)
	case f.Is(13):
		return s.linked(f.Content)
	case f.Is(15):
		return s.setStatus(f.Content)
	}
	return nil
}

// nanos bounds a time to what a record can hold.
func nanos(unsigned uint64) int64 { return int64(min(unsigned, math.MaxInt64)) }

func (s *span) attribute(pair []byte) error {
	key, value, err := textPair(pair)
	if err != nil {
		return err
	}
	switch string(key) {
	case attrInvocation:
		s.invocation = value
	case attrTarget:
		s.target = value
	case attrResult:
		s.result = value
	case attrStatus:
		s.failure = value
	case attrMessage:
		s.message = value
	case attrDeployment:
		s.deployment = value
	}
	return nil
}

// textPair reads a KeyValue whose value is a string.
func textPair(pair []byte) (key, value []byte, err error) {
	f := wire.Fields{Body: pair}
	for f.Next() {
		switch {
		case f.Is(1):
			key = f.Content
		case f.Is(2):
			err := each(f.Content, 1, func(content []byte) error { value = content; return nil })
			if err != nil {
				return nil, nil, err
			}
		}
	}
	if f.Broken {
		return nil, nil, errWire
	}
	return key, value, nil
}

func (s *span) event(body []byte) error {
	return each(body, 2, func(name []byte) error {
		switch string(name) {
		case "restate.invocation.lifecycle.suspended":
			s.suspended = true
		case "restate.invocation.lifecycle.yielded":
			s.yielded = true
		}
		return nil
	})
}

func (s *span) linked(body []byte) error {
	return each(body, 2, func(id []byte) error {
		if len(id) == len(s.link) && s.link == (SpanID{}) {
			s.link = SpanID(id)
		}
		return nil
	})
}

func (s *span) setStatus(body []byte) error {
	f := wire.Fields{Body: body}
	for f.Next() {
		if f.Number == 3 && f.Kind == protowire.VarintType {
			s.status = f.Value
		}
	}
	if f.Broken {
		return errWire
	}
	return nil
}

// tell adds to r what the span says about it.
func (s *span) tell(r *Record) {
	r.see(s.start, s.end)
	r.name(wire.Text(s.target), true)
	main := true
	switch s.kind(startSpan(r.ID)) {
	case "invocation-start":
		s.tellStart(r)
	case "invocation-attempt":
		s.tellAttempt(r)
	case "invocation-end":
		s.tellEnd(r, s.start)
	case "invoke": // 1.6: from the start to the end, sent at the end
		s.tellStart(r)
		s.tellEnd(r, s.end)
	case "ingress":
		main = false
		r.ingress(At[SpanID]{s.start, s.id})
	default:
		main = false // a user's, or a run of 1.6, which other spans tell of
	}
	r.trace(Trace{ID: s.trace, From: s.start, To: s.end, Main: main})
}

// kind is the first word of the name. That of a service's own span may be "invoke",
// too; Restate 1.6's has an id that follows from the invocation's.
func (s *span) kind(start SpanID) string {
	kind, _, _ := strings.Cut(wire.Text(s.name), " ")
	if kind == "invoke" && s.id != start {
		return ""
	}
	return kind
}

func (s *span) tellStart(r *Record) {
	r.Started = max(r.Started, s.start)
	cause := Cause{Span: s.parent, Origin: Call}
	if s.parent == (SpanID{}) && s.link != (SpanID{}) {
		cause = Cause{Span: s.link, Origin: Send}
	}
	if cause.Span != (SpanID{}) {
		latest(&r.Cause, At[Cause]{s.start, cause}, compareCauses)
	}
}

// tellAttempt reads an attempt's end: one that went well ends the invocation, with
// a result or an error that isn't tried again.
func (s *span) tellAttempt(r *Record) {
	r.attempt(s.id)
	if len(s.deployment) > 0 {
		latest(&r.Deployment, At[string]{s.start, cut(string(s.deployment))}, strings.Compare)
	}
	switch {
	case s.suspended:
		r.state(s.end, Suspended)
	case s.status == statusOK && !s.yielded:
		r.Completed = max(r.Completed, s.end)
	default:
		r.state(s.end, Running)
	}
}

const statusOK = 1 // STATUS_CODE_OK of OTLP

func (s *span) tellEnd(r *Record, at int64) {
	switch strings.ToLower(string(s.result)) {
	case "success":
		r.ended(&r.Ended, at, Succeeded)
	case "failure":
		r.ended(&r.Ended, at, Failed)
		if len(s.failure)+len(s.message) > 0 {
			r.failed(at, string(s.failure), string(s.message))
		}
	default:
		r.Completed = max(r.Completed, at)
	}
}

func (r *Record) state(at int64, o Outcome) { r.ended(&r.State, at, o) }

func (r *Record) ended(fact *At[Outcome], at int64, o Outcome) {
	latest(fact, At[Outcome]{at, o}, cmp.Compare[Outcome])
}

func (r *Record) failed(at int64, status, message string) {
	latest(&r.Failure, At[Failure]{at, Failure{cut(status), cut(message)}}, compareFailures)
}
