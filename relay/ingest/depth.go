package ingest

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/relay/fault"
)

// maxDepth bounds values within values. Whatever decodes, prints or flattens such
// a value recurses, here and in the engines, and a request of a few megabytes can
// nest a million of them: enough to overflow a stack, which ends the process. So
// depth is checked before anything is decoded.
const maxDepth = 64

var errTooDeep = fault.New(fault.Invalid, fmt.Sprintf("a body or an attribute is nested too deeply (at most %d levels)", maxDepth))

// message is a kind of message that may contain values: which of its fields, by
// number, are again such messages.
type message map[protowire.Number]*message

// otlpRequest describes requests for logs and for traces alike. They have the
// same numbers down to the record; below it a LogRecord's 5 and 6 and a Span's 9,
// 11 and 13 don't collide with anything that could be taken for a deep value. See
// opentelemetry-proto, logs/v1, trace/v1 and common/v1.
var otlpRequest = func() *message {
	value, pair := &message{}, &message{}
	*pair = message{2: value}                                                    // KeyValue.value
	*value = message{5: &message{1: value}, 6: &message{1: pair}}                // ArrayValue, KeyValueList
	record := &message{5: value, 6: pair, 9: pair, 11: {3: pair}, 13: {4: pair}} // LogRecord; Span, its events and links
	return &message{1: {1: {1: pair}, 2: {1: {3: pair}, 2: record}}}
}()

// maxNesting is the depth of an encoded value of maxDepth levels: two messages a
// level, three in a map, below the four of the request.
const maxNesting = 4 + 3*maxDepth

// checkProtoDepth returns an error when a value in an encoded request is nested
// too deeply. It says nothing about bytes that are no request.
func checkProtoDepth(body []byte) error {
	if tooDeep(body, otlpRequest, maxNesting) {
		return errTooDeep
	}
	return nil
}

// tooDeep recurses levels deep at most.
func tooDeep(body []byte, m *message, levels int) bool {
	if levels == 0 {
		return true
	}
	for len(body) > 0 {
		number, kind, tag := protowire.ConsumeTag(body)
		if tag < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(number, kind, body[tag:])
		if size < 0 {
			return false
		}
		if child := (*m)[number]; child != nil && kind == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(body[tag:])
			if tooDeep(content, child, levels-1) {
				return true
			}
		}
		body = body[tag+size:]
	}
	return false
}

// maxJSONNesting is the same for JSON, where a level takes up to four brackets.
const maxJSONNesting = 16 + 4*maxDepth

// checkJSONDepth counts brackets outside of strings.
func checkJSONDepth(body []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxJSONNesting {
				return errTooDeep
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// Codec is gRPC's own codec for a server of [Ingest.Register]; it refuses
// requests that are nested too deeply before it decodes them.
type Codec struct{ proto encoding.CodecV2 }

// NewCodec returns a codec for [grpc.ForceServerCodecV2].
func NewCodec() Codec { return Codec{encoding.GetCodecV2("proto")} }

// Name is that of the codec it wraps.
func (c Codec) Name() string { return c.proto.Name() }

// Marshal is that of the codec it wraps.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) { return c.proto.Marshal(v) }

// Unmarshal decodes a request.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	if err := checkProtoDepth(buf.ReadOnlyData()); err != nil {
		return err
	}
	return c.proto.Unmarshal(data, v)
}
