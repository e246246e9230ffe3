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

// splitRecords returns a split function for what the format wraps: a record that
// a runtime wrote in several parts comes out with all of them, so a position
// between two tokens never stands inside of a record. Lines that aren't wrapped
// come out as of splitLines.
func splitRecords(f Format, lastLine bool) bufio.SplitFunc {
	raw := splitLines(lastLine)
	if f == FormatRaw {
		return raw
	}
	return func(data []byte, atEOF bool) (int, []byte, error) {
		if f.sniff(data) == FormatRaw {
			return raw(data, atEOF)
		}
		if n := wholeRecords(f, data); n > 0 {
			return n, data[:n], nil
		}
		if len(data) >= maxRecord {
			n := bytes.LastIndexByte(data, '\n') + 1
			if n == 0 {
				return raw(data, atEOF)
			}
			return n, data[:n], nil
		}
		if atEOF && lastLine && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	}
}

// wholeRecords returns where the first place in data is at which no record is
// open, or 0 if there is none yet. The parts of what a program writes to standard
// output and to standard error may alternate.
func wholeRecords(f Format, data []byte) int {
	var open [2]bool // standard output, standard error
	for pos := 0; ; {
		i := bytes.IndexByte(data[pos:], '\n')
		if i < 0 {
			return 0
		}
		line := data[pos : pos+i]
		var stderr, partial bool
		switch f.sniff(line) {
		case FormatCRI:
			stderr, partial = criPart(line)
		case FormatDocker:
			stderr, partial = dockerPart(line)
		case FormatJournald: // whole, and its own parts are put together elsewhere
		case FormatRaw, FormatAuto:
			if pos > 0 {
				return pos // what is damaged doesn't end what was open
			}
		}
		pos += i + 1
		open[index(stderr)] = partial
		if !open[0] && !open[1] {
			return pos
		}
	}
}

func index(stderr bool) int {
	if stderr {
		return 1
	}
	return 0
}

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
