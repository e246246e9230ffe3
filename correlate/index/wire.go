package index

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

var errWire = errors.New("the message can't be decoded")

// field is one field of an encoded protobuf message.
type field struct {
	number  protowire.Number
	kind    protowire.Type
	value   uint64 // of a varint or a fixed field
	content []byte // of a length-delimited field
}

// is reports whether the field is length-delimited and has the number.
func (f *field) is(number protowire.Number) bool {
	return f.number == number && f.kind == protowire.BytesType
}

// next reads the field that b begins with, and returns what follows it. ok is
// false when there is none.
func next(b []byte) (f field, after []byte, ok bool) {
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 {
		return field{}, nil, false
	}
	b, f.number, f.kind = b[n:], number, kind
	switch kind {
	case protowire.BytesType:
		f.content, n = protowire.ConsumeBytes(b)
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(b)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(b)
	default:
		n = protowire.ConsumeFieldValue(number, kind, b)
	}
	if n < 0 {
		return field{}, nil, false
	}
	return f, b[n:], true
}

// each calls do for the length-delimited fields of a message that have a number.
func each(b []byte, number protowire.Number, do func(content []byte) error) error {
	for len(b) > 0 {
		f, after, ok := next(b)
		if !ok {
			return errWire
		}
		if f.is(number) {
			if err := do(f.content); err != nil {
				return err
			}
		}
		b = after
	}
	return nil
}
