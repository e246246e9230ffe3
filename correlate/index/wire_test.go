package index

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// FuzzNext compares how a field is read with protowire's way.
func FuzzNext(f *testing.F) {
	f.Add([]byte{1<<3 | 2, 2, 'a', 'b', 'c'})
	f.Add(append([]byte{2<<3 | 2, 0x81, 1}, make([]byte, 129)...))
	f.Add([]byte{2<<3 | 2, 0x81, 1, 0})
	f.Add([]byte{7<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{3 << 3, 0xff, 1})
	f.Add([]byte{2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, after, ok := next(b)
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			if ok {
				t.Fatalf("%x has no tag", b)
			}
			return
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if ok != (size >= 0) {
			t.Fatalf("%x: ok %t, size %d", b, ok, size)
		}
		if !ok {
			return
		}
		if got.number != number || got.kind != kind || !bytes.Equal(after, b[n+size:]) {
			t.Fatalf("%x: %+v, then %x", b, got, after)
		}
		if kind == protowire.BytesType {
			if want, _ := protowire.ConsumeBytes(b[n:]); !bytes.Equal(got.content, want) {
				t.Fatalf("%x: %x, not %x", b, got.content, want)
			}
		}
	})
}
