package correlate

import (
	"encoding/binary"
	"math/bits"
)

const digits62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// String is the id as Restate writes it, which [ParseInvocationID] reads.
func (id InvocationID) String() string { return string(id.Append(nil)) }

// Append appends the id's text.
func (id InvocationID) Append(b []byte) []byte {
	var text [idLen]byte
	copy(text[:], idPrefix)
	putDigits(text[len(idPrefix):len(idPrefix)+keyDigits], 0, bits.ReverseBytes64(id.PartitionKey))
	putDigits(text[len(idPrefix)+keyDigits:], binary.LittleEndian.Uint64(id.UUID[8:]), binary.LittleEndian.Uint64(id.UUID[:8]))
	return append(b, text[:]...)
}

// putDigits fills b with the base62 digits of a 128-bit number.
func putDigits(b []byte, hi, lo uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		var digit uint64
		hi, digit = hi/62, hi%62
		lo, digit = bits.Div64(digit, lo, 62)
		b[i] = digits62[digit]
	}
}
