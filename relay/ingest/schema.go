package ingest

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/internal/wire"
)

// A message says what fields a kind of OTLP message has, as far as a decoder
// could trip over them. The numbers are those of opentelemetry-proto, logs/v1,
// trace/v1, resource/v1 and common/v1.
type message struct {
	fields [17]fieldType
	nests  bool // a list or a map of values
}

// fieldType is what a field must be. Its zero value is for unknown fields, which
// decoders skip.
type fieldType struct {
	known bool
	kind  protowire.Type
	text  bool // must be valid UTF-8
	id    int  // must have so many bytes, or none
	of    *message
}

var (
	fieldVarint = fieldType{known: true, kind: protowire.VarintType}
	fieldI64    = fieldType{known: true, kind: protowire.Fixed64Type}
	fieldI32    = fieldType{known: true, kind: protowire.Fixed32Type}
	fieldBytes  = fieldType{known: true, kind: protowire.BytesType}
	fieldText   = fieldType{known: true, kind: protowire.BytesType, text: true}
	fieldTrace  = fieldType{known: true, kind: protowire.BytesType, id: traceIDSize}
	fieldSpan   = fieldType{known: true, kind: protowire.BytesType, id: spanIDSize}
)

const (
	traceIDSize = 16
	spanIDSize  = 8
)

func fieldOf(m *message) fieldType { return fieldType{known: true, kind: protowire.BytesType, of: m} }

// The messages that requests consist of, below ResourceSpans and ResourceLogs.
var (
	valueMessage = newValueMessage()
	pairMessage  = valueMessage.fields[6].of.fields[1].of

	entityMessage   = &message{fields: [17]fieldType{1: fieldText, 2: fieldText, 3: fieldText, 4: fieldText}}
	resourceMessage = &message{fields: [17]fieldType{1: fieldOf(pairMessage), 2: fieldVarint, 3: fieldOf(entityMessage)}}
	scopeMessage    = &message{fields: [17]fieldType{1: fieldText, 2: fieldText, 3: fieldOf(pairMessage), 4: fieldVarint}}

	// Invalid ids of a log record are ignored, as their specification asks for.
	recordMessage = &message{fields: [17]fieldType{
		1: fieldI64, 2: fieldVarint, 3: fieldText, 5: fieldOf(valueMessage), 6: fieldOf(pairMessage), 7: fieldVarint,
		8: fieldI32, 9: fieldBytes, 10: fieldBytes, 11: fieldI64, 12: fieldText,
	}}

	eventMessage  = &message{fields: [17]fieldType{1: fieldI64, 2: fieldText, 3: fieldOf(pairMessage), 4: fieldVarint}}
	linkMessage   = &message{fields: [17]fieldType{1: fieldTrace, 2: fieldSpan, 3: fieldText, 4: fieldOf(pairMessage), 5: fieldVarint, 6: fieldI32}}
	statusMessage = &message{fields: [17]fieldType{2: fieldText, 3: fieldVarint}}
	spanMessage   = &message{fields: [17]fieldType{
		1: fieldTrace, 2: fieldSpan, 3: fieldText, 4: fieldSpan, 5: fieldText, 6: fieldVarint, 7: fieldI64, 8: fieldI64,
		9: fieldOf(pairMessage), 10: fieldVarint, 11: fieldOf(eventMessage), 12: fieldVarint, 13: fieldOf(linkMessage),
		14: fieldVarint, 15: fieldOf(statusMessage), 16: fieldI32,
	}}
)

// newValueMessage describes AnyValue; its key and value pairs refer to it.
func newValueMessage() *message {
	value, pair := &message{}, &message{}
	pair.fields = [17]fieldType{1: fieldText, 2: fieldOf(value), 3: fieldVarint}
	array := &message{fields: [17]fieldType{1: fieldOf(value)}, nests: true}
	list := &message{fields: [17]fieldType{1: fieldOf(pair)}, nests: true}
	value.fields = [17]fieldType{
		1: fieldText, 2: fieldVarint, 3: fieldVarint, 4: fieldI64, 5: fieldOf(array), 6: fieldOf(list), 7: fieldBytes, 8: fieldVarint,
	}
	return value
}

// flaw is what is wrong with a message. A greater one outweighs the others.
type flaw int

const (
	sound    flaw = iota
	badText       // a string isn't UTF-8
	badID         // an id has the wrong length
	tooDeep       // values are nested too deeply
	noRecord      // no decoder would take it
)

// check looks into an encoded message, all the way down. It recurses maxDepth
// times two levels deep at most.
func (m *message) check(body []byte) flaw { return m.checkAt(body, 0) }

func (m *message) checkAt(body []byte, depth int) flaw {
	if m.nests {
		if depth++; depth > maxDepth {
			return tooDeep
		}
	}
	worst := sound
	f := wire.Fields{Body: body}
	for f.Next() {
		if worst = max(worst, m.checkField(&f, depth)); worst >= tooDeep {
			return worst
		}
	}
	if f.Broken {
		return noRecord
	}
	return worst
}

// checkField does the same for a field of the message.
func (m *message) checkField(f *wire.Fields, depth int) flaw {
	if f.Number >= int32(len(m.fields)) {
		return sound
	}
	t := &m.fields[f.Number]
	switch {
	case !t.known:
		return sound
	case t.kind != f.Kind:
		return noRecord
	case t.of != nil:
		return t.of.checkAt(f.Content, depth)
	case t.text && !utf8.Valid(f.Content):
		return badText
	case t.id > 0 && len(f.Content) != 0 && len(f.Content) != t.id:
		return badID
	}
	return sound
}
