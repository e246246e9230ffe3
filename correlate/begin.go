package correlate

import "strings"

// BeginsBytes is how much of a line [Begins] looks at.
const BeginsBytes = 64

// Begins reports whether line begins a record; any other line continues the
// record before it, as the lines of a stack trace, the fields of a pretty record
// and empty lines do. It knows a record by what it begins with:
//
//   - JSON: {"
//   - Restate's SDK for TypeScript: [restate]
//   - compact, pretty and most other text: a date and a time, such as
//     2026-11-23T03:14:00, 2026-11-23 03:14:00 or 2026/11/23 03:14:00, perhaps
//     coloured, in brackets or behind time= (as Go's slog writes it)
//   - a level in capitals, perhaps coloured or in brackets: INFO, ERROR:, [WARN]
//
// A line that is indented begins none. A program that writes lines without any
// of these (such as RocksDB's last words within Restate) seems to continue what
// stands before it.
//
// Only the first [BeginsBytes] bytes count, and nothing is allocated.
func Begins(line string) bool {
	line = line[:min(len(line), BeginsBytes)]
	if strings.HasPrefix(line, "{") {
		rest := line[afterSpace(line, 1):]
		return strings.HasPrefix(rest, `"`)
	}
	if strings.HasPrefix(line, "[restate]") {
		return true
	}
	line = line[afterColour(line):]
	line = strings.TrimPrefix(line, "[")
	line = line[afterColour(line):]
	return beginsWithTime(strings.TrimPrefix(line, "time=")) || beginsWithLevel(line)
}

// beginsWithTime reports whether s begins with a date and a time of day.
func beginsWithTime(s string) bool {
	const layout = "0000-00-00 00:00"
	if len(s) < len(layout) {
		return false
	}
	for i := range len(layout) {
		c, ok := s[i], false
		switch layout[i] {
		case '0':
			ok = c >= '0' && c <= '9'
		case '-':
			ok = c == '-' || c == '/'
		case ' ':
			ok = c == 'T' || c == ' '
		case ':':
			ok = c == ':'
		}
		if !ok {
			return false
		}
	}
	return true
}

// beginsWithLevel reports whether s begins with a level that stands alone.
func beginsWithLevel(s string) bool {
	n := 0
	for n < len(s) && s[n] >= 'A' && s[n] <= 'Z' {
		n++
	}
	switch s[:n] {
	case "TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL":
	default:
		return false
	}
	return n == len(s) || strings.IndexByte(" \t:]\x1b", s[n]) >= 0
}
