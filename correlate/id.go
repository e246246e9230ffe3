package correlate

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
)

const (
	idPrefix     = "inv_1" // "1" is the version of the encoding
	idLen        = len(idPrefix) + keyDigits + uuidDigits
	keyDigits    = 11                 // base62 digits of 64 bits
	uuidDigits   = 22                 // base62 digits of 128 bits
	chunkDigits  = 10                 // base62 digits that always fit in 64 bits
	chunkModulus = 839299365868340224 // 62^10
	notDigit     = 0xff
)

// base62 is the value of each digit in Restate's alphabet, 0-9a-zA-Z.
var base62 = func() (t [256]byte) {
	for i := range t {
		t[i] = notDigit
	}
	for i, c := range []byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = byte(i)
	}
	return t
}()

// InvocationID is a decoded invocation id. It is comparable.
type InvocationID struct {
	// PartitionKey is the hash that decides which partition runs the
	// invocation.
	PartitionKey uint64
	// UUID identifies the invocation. A one-way send's trace id is its UUID,
	// and its last eight bytes are the span id of every invocation's start
	// span. The UUIDs of workflows and idempotent calls are hashes of their
	// names, so two clusters produce the same ones.
	UUID [16]byte
}

// ParseInvocationID decodes an id such as
// inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX: inv_1, then the partition key as 11
// and the UUID as 22 base62 digits, most significant digit first, in the
// alphabet 0-9a-zA-Z. Both numbers are spelled with their bytes reversed: the
// UUID's first byte is the lowest one of what the 22 digits say.
//
// It returns an error when s has another shape or a number is out of range.
func ParseInvocationID(s string) (InvocationID, error) {
	if len(s) != idLen || !strings.HasPrefix(s, idPrefix) || !allDigits(s[len(idPrefix):]) {
		return InvocationID{}, fmt.Errorf("parse invocation id: want %s and %d base62 digits", idPrefix, keyDigits+uuidDigits)
	}
	var id InvocationID
	over, key := number(s[len(idPrefix) : len(idPrefix)+keyDigits])
	hi, lo, ok := number128(s[len(idPrefix)+keyDigits:])
	if over != 0 || !ok {
		return InvocationID{}, fmt.Errorf("parse invocation id: number out of range")
	}
	id.PartitionKey = bits.ReverseBytes64(key)
	binary.LittleEndian.PutUint64(id.UUID[:8], lo)
	binary.LittleEndian.PutUint64(id.UUID[8:], hi)
	return id, nil
}

// number is the value of up to 11 digits, as 128 bits: 11 may exceed 64.
func number(digits string) (hi, lo uint64) {
	n := min(len(digits), chunkDigits)
	for i := range n {
		lo = lo*62 + uint64(base62[digits[i]])
	}
	if n == len(digits) {
		return 0, lo
	}
	return mulAdd(lo, 62, uint64(base62[digits[n]]))
}

// number128 is the value of 22 digits, and whether it fits in 128 bits.
func number128(digits string) (hi, lo uint64, ok bool) {
	_, a := number(digits[:chunkDigits])
	_, b := number(digits[chunkDigits : 2*chunkDigits])
	_, c := number(digits[2*chunkDigits:])
	hi, lo = mulAdd(a, chunkModulus, b)
	const rest = 62 * 62
	over, hi2 := bits.Mul64(hi, rest)
	carry, lo := mulAdd(lo, rest, c)
	hi, out := bits.Add64(hi2, carry, 0)
	return hi, lo, over == 0 && out == 0
}

// mulAdd is a*b+c, which always fits in 128 bits.
func mulAdd(a, b, c uint64) (hi, lo uint64) {
	hi, lo = bits.Mul64(a, b)
	lo, carry := bits.Add64(lo, c, 0)
	return hi + carry, lo
}

func allDigits(s string) bool {
	var all byte
	for i := range len(s) {
		all |= base62[s[i]]
	}
	return all != notDigit
}

// isID reports whether ParseInvocationID accepts s. Most ids are decided by the
// first digit of each number: below that of the greatest number it can't
// overflow.
func isID(s string) bool {
	if len(s) != idLen || s[:len(idPrefix)] != idPrefix || !allDigits(s[len(idPrefix):]) {
		return false
	}
	const keyTop, uuidTop = 21, 7 // first digits of 2^64-1 (lYGhA16ahyf) and 2^128-1
	if base62[s[len(idPrefix)]] < keyTop && base62[s[len(idPrefix)+keyDigits]] < uuidTop {
		return true
	}
	over, _ := number(s[len(idPrefix) : len(idPrefix)+keyDigits])
	_, _, ok := number128(s[len(idPrefix)+keyDigits:])
	return over == 0 && ok
}

// nextID is the index in line of the first id that starts at from or later, or
// -1. An id stands alone: neither a letter, a digit nor an underscore is beside
// it. known is an id, or empty; most lines name one several times.
func nextID(line string, from int, known string) int {
	// The underscore is the rarest of the prefix's bytes in Restate's lines.
	const mark = 3
	last := len(line) - idLen // where the last id could start
	for from <= last {
		i := strings.IndexByte(line[from+mark:last+mark+1], '_')
		if i < 0 {
			return -1
		}
		from += i
		id := line[from : from+idLen]
		if id[:len(idPrefix)] == idPrefix && (id == known || isID(id)) &&
			(from == last || !isWord(line[from+idLen])) && (from == 0 || startsWord(line, from)) {
			return from
		}
		from++
	}
	return -1
}

func isWord(c byte) bool { return c == '_' || base62[c] != notDigit }

// startsWord reports whether what precedes line[i] ends before it. A letter
// does when it ends an escape: of JSON (\n, \u001b) or of a terminal (ESC[33m).
func startsWord(line string, i int) bool {
	c := line[i-1]
	if !isWord(c) {
		return true
	}
	if i >= 2 && line[i-2] == '\\' {
		return c == 'n' || c == 't' || c == 'r' || c == 'b' || c == 'f'
	}
	if i >= 6 && line[i-6:i-4] == `\u` && isHex(line[i-4]) && isHex(line[i-3]) && isHex(line[i-2]) && isHex(c) {
		return true
	}
	if c != 'm' {
		return false
	}
	const longest = 24 // bytes of a colour sequence
	for j := i - 2; j >= 0 && j > i-longest; j-- {
		if d := line[j]; d == '[' {
			return true
		} else if d != ';' && (d < '0' || d > '9') {
			return false
		}
	}
	return false
}

func isHex(c byte) bool { return base62[c] < 16 || c >= 'A' && c <= 'F' }
