package timeline

import (
	"fmt"
	"io"
	"unicode/utf8"
)

// JSONWriter writes JSON to w with what could harm a terminal escaped: JSON itself
// leaves DEL, the control characters behind it and those that turn text around as
// they are. They only occur within strings. Each Write holds whole characters.
func JSONWriter(w io.Writer) io.Writer { return jsonWriter{w} }

type jsonWriter struct{ w io.Writer }

// Write returns len(b) when all of b was written in one form or the other.
func (j jsonWriter) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b))
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(out, `\ufffd`...)
		case r >= 0x7f && harmful(r):
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	if _, err := j.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
