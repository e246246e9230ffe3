package correlate

import (
	"encoding/binary"
	"math/bits"
)

const digits62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// String spells the id as Restate does; [ParseInvocationID] reads it.
func (id InvocationID) String() string {
	var text [idLen]byte
	copy(text[:], idPrefix)
	key, uuid := text[len(idPrefix):len(idPrefix)+keyDigits], text[len(idPrefix)+keyDigits:]
	spell(key, 0, bits.ReverseBytes64(id.PartitionKey))
	spell(uuid, binary.LittleEndian.Uint64(id.UUID[8:]), binary.LittleEndian.Uint64(id.UUID[:8]))
	return string(text[:])
}

// spell fills digits with a number in base 62, the most significant first.
func spell(digits []byte, hi, lo uint64) {
	for i := len(digits) - 1; i >= 0; i-- {
		var rest uint64
		hi, rest = hi/62, hi%62
		lo, rest = bits.Div64(rest, lo, 62)
		digits[i] = digits62[rest]
	}
}
