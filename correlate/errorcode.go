package correlate

import "strings"

const (
	maxCodeBytes   = 16
	maxCountDigits = 10 // of 32 bits
)

// hasError reports whether an event of this level may carry an error code. Restate's
// do at INFO, WARN and ERROR: the macros of its crate restate_errors write them. Of
// other programs' levels nothing is known.
func hasError(level string) bool { return level != "DEBUG" && level != "TRACE" }

// isErrorCode reports whether s is shaped as Restate's codes are: capitals, then
// digits. An error that has none is printed with the code None.
func isErrorCode(s string) bool { return s != "" && len(leadingCode(s)) == len(s) }

// leadingCode is the error code that begins s, or empty.
func leadingCode(s string) string {
	letters := 0
	for letters < len(s) && s[letters] >= 'A' && s[letters] <= 'Z' {
		letters++
	}
	end := letters + digitsIn(s[letters:])
	if letters == 0 || end == letters || end > maxCodeBytes || end < len(s) && isWord(s[end]) {
		return ""
	}
	return s[:end]
}

func isCount(s string) bool { return s != "" && len(leadingCount(s)) == len(s) }

// leadingCount is the whole number that begins s, or empty.
func leadingCount(s string) string {
	n := digitsIn(s)
	if n > maxCountDigits || n < len(s) && (isWord(s[n]) || s[n] == '.') {
		return ""
	}
	return s[:n]
}

// digitsIn is how many digits begin s.
func digitsIn(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// errorCodeIn is the first error code in a text record that stands behind its key.
func errorCodeIn(doc string) string {
	for doc != "" {
		doc = fieldIn(doc, "restate.error.code", len("restate"))
		if code := leadingCode(doc); code != "" {
			return code
		}
	}
	return ""
}

// retryCountIn is the first retry count in a text record that stands behind its key.
func retryCountIn(doc string) string {
	for doc != "" {
		doc = fieldIn(doc, "retry_count", len("retry"))
		if count := leadingCount(doc); count != "" {
			return count
		}
	}
	return ""
}

// fieldIn is doc from where the value of the first key begins that has one, or
// empty. What is looked for is the key's byte at mark, its rarest.
func fieldIn(doc, key string, mark int) string {
	for from := mark; from < len(doc); from++ {
		i := strings.IndexByte(doc[from:], key[mark])
		if i < 0 {
			break
		}
		from += i
		start := from - mark
		if !strings.HasPrefix(doc[start:], key) || start > 0 && (doc[start-1] == '.' || !startsWord(doc, start)) {
			continue
		}
		if value, _ := valueAfter(doc[start+len(key):]); value != "" {
			return value
		}
	}
	return ""
}
