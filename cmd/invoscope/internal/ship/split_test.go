package ship

import (
	"bytes"
	"testing"
)

// Whatever comes in, the pieces are no longer than allowed, and together they
// are the input without its line endings.
func FuzzSplitLines(f *testing.F) {
	f.Add([]byte("a\r\nb"), 0)
	f.Add([]byte("\n\n"), maxLine)
	f.Add([]byte("é\r\nx"), maxLine-1)
	f.Add([]byte("\x80\x80\x80\x80\x80"), maxLine-2)
	f.Fuzz(func(t *testing.T, tail []byte, pad int) {
		in := append(bytes.Repeat([]byte("x"), max(0, min(pad, 2*maxLineBuffer))), tail...)
		want := bytes.ReplaceAll(in, []byte("\n"), nil)
		split := splitLines(true)
		var got []byte
		for rest := in; len(rest) > 0; {
			n, line, err := split(rest, true)
			if err != nil || n <= 0 || len(line) > maxLine {
				t.Fatalf("split %d bytes: advance %d, line of %d, %v", len(rest), n, len(line), err)
			}
			got = append(got, line...)
			rest = rest[n:]
		}
		strip := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r"), nil) }
		if !bytes.Equal(strip(got), strip(want)) {
			t.Fatalf("%d bytes came out of %d", len(got), len(want))
		}
	})
}

func TestUnfinishedLineStays(t *testing.T) {
	split := splitLines(false)
	if n, line, err := split([]byte("half"), true); n != 0 || line != nil || err != nil {
		t.Errorf("got %d, %q, %v", n, line, err)
	}
	if n, line, _ := split([]byte("\nb"), false); n != 1 || line == nil || len(line) != 0 {
		t.Errorf("an empty line is (%d, %q)", n, line)
	}
}
