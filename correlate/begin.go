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
//   - the last words of a process: [rocksdb] within Restate, and the panic of a
//     program in Rust (thread 'main' panicked at) or Go (panic: x)
//
// A line that is indented begins none. A program that writes lines without any
// of these seems to continue what stands before it.
//
// Only the first [BeginsBytes] bytes count, and nothing is allocated.
func Begins(line string) bool {
	line = line[:min(len(line), BeginsBytes)]
	if strings.HasPrefix(line, "{") {
		rest := line[afterSpace(line, 1):]
		return strings.HasPrefix(rest, `"`)
	}
	for _, head := range [...]string{"[restate]", "[rocksdb]", "thread '", "panic: "} {
		if strings.HasPrefix(line, head) {
			return true
		}
	}
	line = line[afterColour(line):]
	line = strings.TrimPrefix(line, "[")
	line = line[afterColour(line):]
	return beginsWithTime(strings.TrimPrefix(line, "time=")) || beginsWithLevel(line)
}

// Continue makes f, the facts of a line that continues a record, complete: what the
// line doesn't say is what the record's lines before it said, and record learns what
// the line adds, also a target that stands alone on its line, as pretty writes it. A
// line that names another invocation than the record takes the record's level only.
// The two don't share Related.
func (f *Facts) Continue(line string, record *Facts) {
	if f.InvocationID == "" && record.InvocationID != "" && record.Target == "" {
		f.Target = targetIn(line)
	}
	share(&f.Level, &record.Level)
	if f.InvocationID != "" && record.InvocationID != "" && f.InvocationID != record.InvocationID {
		return
	}
	share(&f.InvocationID, &record.InvocationID)
	share(&f.Target, &record.Target)
	share(&f.ErrorCode, &record.ErrorCode)
	share(&f.RetryCount, &record.RetryCount)
	if len(f.Related) == 0 {
		f.Related = append(f.Related, record.Related...)
	} else if len(record.Related) == 0 {
		record.Related = append(record.Related, f.Related...)
	}
}

// share gives the one that is empty what the other says.
func share(a, b *string) {
	if *a == "" {
		*a = *b
	} else if *b == "" {
		*b = *a
	}
}

// Copy makes f the facts of another line, in its own memory but for the strings.
func (f *Facts) Copy(of *Facts) {
	related := append(f.Related[:0], of.Related...)
	*f = *of
	f.Related = related
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
