package wire

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// FuzzFields compares how fields are read with protowire's way, which refuses some
// numbers that decoders take, and knows groups.
func FuzzFields(f *testing.F) {
	f.Add([]byte{1<<3 | 2, 2, 'a', 'b', 'c'})
	f.Add(append([]byte{2<<3 | 2, 0x81, 1}, make([]byte, 129)...))
	f.Add([]byte{2<<3 | 2, 0x81, 1, 0})
	f.Add([]byte{7<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 5<<3 | 5, 1, 2, 3, 4})
	f.Add([]byte{3 << 3, 0xff, 1})
	f.Add([]byte{2, 0})
	f.Add([]byte{1<<3 | 3, 1<<3 | 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		for got := (Fields{Body: b}); ; {
			rest := b[got.Pos:]
			ok := got.Next()
			if ok == (got.Broken || len(rest) == 0) {
				t.Fatalf("%x: next %t, broken %t", rest, ok, got.Broken)
			}
			number, kind, n := protowire.ConsumeTag(rest)
			if n < 0 || kind == protowire.StartGroupType || kind == protowire.EndGroupType {
				return
			}
			size := protowire.ConsumeFieldValue(number, kind, rest[n:])
			if ok != (size >= 0) {
				t.Fatalf("%x: next %t, size %d", rest, ok, size)
			}
			if !ok {
				return
			}
			if got.Number != int32(number) || got.Kind != kind || !bytes.Equal(b[got.Start:got.Pos], rest[:n+size]) {
				t.Fatalf("%x: %+v", rest, got)
			}
			checkValue(t, &got, rest[n:])
		}
	})
}

func checkValue(t *testing.T, got *Fields, value []byte) {
	t.Helper()
	switch got.Kind {
	case protowire.BytesType:
		if want, _ := protowire.ConsumeBytes(value); !bytes.Equal(got.Content, want) || !got.Is(got.Number) || got.Is(got.Number+1) {
			t.Fatalf("%x: %x", value, got.Content)
		}
	case protowire.VarintType:
		if want, _ := protowire.ConsumeVarint(value); got.Value != want {
			t.Fatalf("%x: %d", value, got.Value)
		}
	case protowire.Fixed64Type:
		if want, _ := protowire.ConsumeFixed64(value); got.Value != want {
			t.Fatalf("%x: %d", value, got.Value)
		}
	case protowire.Fixed32Type:
		if want, _ := protowire.ConsumeFixed32(value); got.Value != uint64(want) {
			t.Fatalf("%x: %d", value, got.Value)
		}
	}
}
