package wire

import (
	"encoding/binary"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields goes over the fields of one encoded protobuf message without decoding
// them into anything. Like the decoders behind us (gogo/protobuf and pdata) it
// cuts field numbers to 32 bits; unlike them it takes no groups, which proto3
// doesn't have.
type Fields struct {
	Body []byte
	Pos  int
	// Broken is set when Next has stopped at something that is no field.
	Broken bool

	// The field that Next has read.
	Start   int // where it begins, its tag included; it ends at Pos
	Number  int32
	Kind    protowire.Type
	Value   uint64 // of a varint or a fixed field
	Content []byte // of a length-delimited field
}

// Next reads a field; it returns false at the end, and when the rest is broken.
func (f *Fields) Next() bool {
	if f.Pos >= len(f.Body) {
		return false
	}
	f.Start = f.Pos
	tag, ok := f.varint()
	f.Number, f.Kind = int32(tag>>3), protowire.Type(tag&7) // as decoders do
	if !ok || f.Number <= 0 {
		return f.fail()
	}
	switch f.Kind {
	case protowire.BytesType:
		size, ok := f.varint()
		if !ok || size > uint64(len(f.Body)-f.Pos) {
			return f.fail()
		}
		f.Content = f.Body[f.Pos : f.Pos+int(size)]
		f.Pos += int(size)
	case protowire.VarintType:
		if f.Value, ok = f.varint(); !ok {
			return f.fail()
		}
	case protowire.Fixed64Type:
		if len(f.Body)-f.Pos < 8 {
			return f.fail()
		}
		f.Value = binary.LittleEndian.Uint64(f.Body[f.Pos:])
		f.Pos += 8
	case protowire.Fixed32Type:
		if len(f.Body)-f.Pos < 4 {
			return f.fail()
		}
		f.Value = uint64(binary.LittleEndian.Uint32(f.Body[f.Pos:]))
		f.Pos += 4
	default:
		return f.fail()
	}
	return true
}

func (f *Fields) fail() bool {
	f.Broken = true
	return false
}

// Is reports whether the field is length-delimited and has the number.
func (f *Fields) Is(number int32) bool {
	return f.Number == number && f.Kind == protowire.BytesType
}

// varint reads a number. Most are tags and sizes of one or two bytes.
func (f *Fields) varint() (uint64, bool) {
	rest := f.Body[f.Pos:]
	if len(rest) > 1 {
		if rest[0] < 0x80 {
			f.Pos++
			return uint64(rest[0]), true
		}
		if rest[1] < 0x80 {
			f.Pos += 2
			return uint64(rest[0]&0x7f) | uint64(rest[1])<<7, true
		}
	}
	v, n := protowire.ConsumeVarint(rest)
	f.Pos += max(n, 0)
	return v, n > 0
}

// Text is b as a string that shares its memory: it is valid as long as b isn't
// written to.
func Text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
