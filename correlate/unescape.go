package correlate

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape is the text of a JSON string without its quotes, in one allocation if it
// has escapes. What has a bad one is left as it is.
func unescape(raw string) string {
	i := strings.IndexByte(raw, '\\')
	if i < 0 {
		return raw
	}
	var text strings.Builder
	text.Grow(len(raw))
	rest := raw
	for ; i >= 0; i = strings.IndexByte(rest, '\\') {
		text.WriteString(rest[:i])
		r, n := escaped(rest[i:])
		if n == 0 {
			return raw
		}
		text.WriteRune(r)
		rest = rest[i+n:]
	}
	text.WriteString(rest)
	return text.String()
}

// escaped is the character that the escape at the beginning of s stands for, and how
// long the escape is; 0 if it is a bad one. Half of a surrogate pair stands for U+FFFD.
func escaped(s string) (r rune, n int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	const length = len(`\u0000`)
	r, ok := unit(s)
	switch {
	case !ok:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, length
	}
	if low, ok := unit(s[length:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 2 * length
		}
	}
	return utf8.RuneError, length
}

// unit is the UTF-16 code unit of the \u escape that begins s.
func unit(s string) (rune, bool) {
	if len(s) < 6 || s[:2] != `\u` {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
