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
	// Nearly all are length-delimited, of a low number and shorter than 16 KiB.
	if len(b) > 2 && b[0]&0x87 == byte(protowire.BytesType) && b[0] > 7 {
		size, head := int(b[1]), 2
		if size >= 0x80 && b[2] < 0x80 {
			size, head = size&0x7f|int(b[2])<<7, 3
		}
		if size <= len(b)-head && (head == 3 || b[1] < 0x80) {
			f.number, f.kind, f.content = protowire.Number(b[0]>>3), protowire.BytesType, b[head:head+size:head+size]
			return f, b[head+size:], true
		}
	}
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
