package ingest

import (
	"encoding/binary"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
)

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
