package ship

import (
	"bufio"
	"bytes"
	"unicode/utf8"
)

// maxLine is the longest line sent as one entry, in bytes. It is Loki's default
// max_line_size.
const maxLine = 256 << 10

// maxLineBuffer is what a reader must be able to hold to tell a line of maxLine
// bytes and its CRLF from a longer one.
const maxLineBuffer = maxLine + 2

// splitLines returns a split function for lines of at most maxLine bytes
// without their LF or CRLF. A longer line comes out in pieces. The bytes after
// the last newline come out at the end of the input if lastLine is set, and
// otherwise stay unread until the rest of their line arrives.
func splitLines(lastLine bool) bufio.SplitFunc {
	return func(data []byte, atEOF bool) (int, []byte, error) {
		window := data[:min(len(data), maxLineBuffer)]
		if i := bytes.IndexByte(window, '\n'); i >= 0 {
			if line := bytes.TrimSuffix(window[:i], []byte{'\r'}); len(line) <= maxLine {
				return i + 1, line, nil
			}
		}
		if len(window) == maxLineBuffer || len(window) > maxLine && window[maxLine] != '\r' {
			n := cut(window)
			return n, window[:n], nil
		}
		if atEOF && lastLine && len(data) > 0 {
			return len(data), bytes.TrimSuffix(data, []byte{'\r'}), nil
		}
		return 0, nil, nil
	}
}

// cut returns where to end the first piece of a line longer than maxLine: at
// maxLine, or just before the character that straddles it.
func cut(line []byte) int {
	for n := maxLine; n > maxLine-utf8.UTFMax; n-- {
		if utf8.RuneStart(line[n]) {
			return n
		}
	}
	return maxLine
}
