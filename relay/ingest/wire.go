package ingest

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// fields goes over the fields of one encoded protobuf message without decoding
// them into anything. Like the decoders behind us (gogo/protobuf and pdata) it
// cuts field numbers to 32 bits; unlike them it takes no groups, which proto3
// doesn't have.
type fields struct {
	body []byte
	pos  int
	// broken is set when next has stopped at something that is no field.
	broken bool

	// The field that next has read.
	start   int // where it begins, its tag included; it ends at pos
	number  int32
	kind    protowire.Type
	value   uint64 // of a varint or a fixed field
	content []byte // of a length-delimited field
}

// next reads a field; it returns false at the end, and when the rest is broken.
func (f *fields) next() bool {
	if f.pos >= len(f.body) {
		return false
	}
	f.start = f.pos
	tag, ok := f.varint()
	f.number, f.kind = int32(tag>>3), protowire.Type(tag&7) // as decoders do
	if !ok || f.number <= 0 {
		return f.fail()
	}
	switch f.kind {
	case protowire.BytesType:
		size, ok := f.varint()
		if !ok || size > uint64(len(f.body)-f.pos) {
			return f.fail()
		}
		f.content = f.body[f.pos : f.pos+int(size)]
		f.pos += int(size)
	case protowire.VarintType:
		if f.value, ok = f.varint(); !ok {
			return f.fail()
		}
	case protowire.Fixed64Type:
		if len(f.body)-f.pos < 8 {
			return f.fail()
		}
		f.value = binary.LittleEndian.Uint64(f.body[f.pos:])
		f.pos += 8
	case protowire.Fixed32Type:
		if len(f.body)-f.pos < 4 {
			return f.fail()
		}
		f.value = uint64(binary.LittleEndian.Uint32(f.body[f.pos:]))
		f.pos += 4
	default:
		return f.fail()
	}
	return true
}

func (f *fields) fail() bool {
	f.broken = true
	return false
}

// is reports whether the field is length-delimited and has the number.
func (f *fields) is(number int32) bool {
	return f.number == number && f.kind == protowire.BytesType
}

// varint reads a number. Most are tags and sizes of one or two bytes.
func (f *fields) varint() (uint64, bool) {
	rest := f.body[f.pos:]
	if len(rest) > 1 {
		if rest[0] < 0x80 {
			f.pos++
			return uint64(rest[0]), true
		}
		if rest[1] < 0x80 {
			f.pos += 2
			return uint64(rest[0]&0x7f) | uint64(rest[1])<<7, true
		}
	}
	v, n := protowire.ConsumeVarint(rest)
	f.pos += max(n, 0)
	return v, n > 0
}

// wireBuffer is a message that is being written.
type wireBuffer []byte

// sizeReserve is the room for the length of a message within a message: three
// bytes are enough for 2 MiB.
const sizeReserve = 3

// begin writes the head of a message whose size isn't known yet; end completes it.
func (b *wireBuffer) begin(number int32) (mark int) {
	*b = append(appendTag(*b, number, protowire.BytesType), make([]byte, sizeReserve)...)
	return len(*b)
}

func (b *wireBuffer) end(mark int) {
	size := len(*b) - mark
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(size))
	if n > sizeReserve {
		*b = append(*b, head[:n-sizeReserve]...)
	}
	at := mark - sizeReserve
	if n != sizeReserve {
		copy((*b)[at+n:], (*b)[mark:mark+size])
	}
	copy((*b)[at:], head[:n])
	*b = (*b)[:at+n+size]
}

func appendTag(b []byte, number int32, kind protowire.Type) []byte {
	return binary.AppendUvarint(b, uint64(number)<<3|uint64(kind))
}

func appendVarint(b []byte, number int32, value uint64) []byte {
	return binary.AppendUvarint(appendTag(b, number, protowire.VarintType), value)
}

func appendField[T ~string | ~[]byte](b []byte, number int32, content T) []byte {
	b = binary.AppendUvarint(appendTag(b, number, protowire.BytesType), uint64(len(content)))
	return append(b, content...)
}

// sizeOf is the size of a length-delimited field with a number below 16.
func sizeOf(content int) int { return 1 + varintSize(uint64(content)) + content }

func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// text is b as a string that shares its memory: it is valid as long as b isn't
// written to.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
