package redact

import "strings"

// isHeader reports whether a name is that of a header field whose whole value is secret.
func isHeader(name string) bool {
	return hasSuffixFold(name, "authorization") || hasSuffixFold(name, "cookie")
}

// isSecret reports whether a name is that of a secret.
func isSecret(name string) bool {
	switch {
	case hasSuffixFold(name, "password"), hasSuffixFold(name, "passwd"), hasSuffixFold(name, "secret"), hasSuffixFold(name, "token"):
		return true
	case !hasSuffixFold(name, "key"):
		return false
	}
	name = strings.TrimRight(name[:len(name)-len("key")], "_-")
	return hasSuffixFold(name, "api") || hasSuffixFold(name, "secret") || hasSuffixFold(name, "private") || hasSuffixFold(name, "access")
}

// named finds a value that has the name of a secret before the = or : at i. Names in
// sentences are followed by a colon and a space ("parse the token: no dots"): that
// counts only where the name is in quotes, or a header's, or the value has a digit.
func named(s string, i int) (from, to int) {
	end := i
	quoted := i > 0 && isQuote(s[i-1])
	if quoted {
		end = back(s, i-1, isBackslash)
	}
	if end == 0 || !strings.ContainsRune("nedty", rune(s[end-1]|0x20)) { // as all of them end
		return -1, -1
	}
	name := s[back(s, end, isName):end]
	header := isHeader(name)
	if !header && !isSecret(name) {
		return -1, -1
	}
	from = i + 1
	if s[i] == ':' {
		from = span(s, from, isBlank)
		if !header && !quoted && from > i+1 {
			return from, from + len(numbered(untilAny(s[from:], " \t\r\n\"'`,;&|]})")))
		}
	}
	from = span(s, from, func(c byte) bool { return c == '[' }) // a list
	if q := span(s, from, isBackslash); q < len(s) && isQuote(s[q]) {
		return q + 1, closing(s, q, q-from)
	}
	if header {
		return from, from + len(untilAny(s[from:], "\"'\r\n`]})"))
	}
	return from, from + len(untilAny(s[from:], " \t\r\n\"'`,;&|]})"))
}

// numbered returns a value that is no word of a sentence, or nothing.
func numbered(value string) string {
	const shortest = 6
	if len(value) < shortest || !strings.ContainsAny(value, "0123456789") {
		return ""
	}
	return value
}

// closing is where the string ends whose opening quote is at i, behind so many
// backslashes: it may be a string within a string. Quotes that belong to it have more.
func closing(s string, i, backslashes int) int {
	for end := i + 1; end < len(s) && s[end] != '\n'; end++ {
		if s[end] != s[i] {
			continue
		}
		if first := back(s, end, isBackslash); end-first <= backslashes {
			return max(first, i+1)
		}
	}
	return i + 1 + len(untilAny(s[i+1:], "\n"))
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// span is the first place at i or later whose byte isn't in a class.
func span(s string, i int, in func(byte) bool) int {
	for i < len(s) && in(s[i]) {
		i++
	}
	return i
}

// back is the last place up to i behind a byte that isn't in a class. It looks no
// further than a name is long.
func back(s string, i int, in func(byte) bool) int {
	const longest = 64
	for least := max(i-longest, 0); i > least && in(s[i-1]); {
		i--
	}
	return i
}

func untilAny(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}

func isQuote(c byte) bool        { return c == '"' || c == '\'' }
func isBackslash(c byte) bool    { return c == '\\' }
func isDigit(c byte) bool        { return '0' <= c && c <= '9' }
func isLetter(c byte) bool       { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isAlphanumeric(c byte) bool { return isLetter(c) || isDigit(c) }
func isBase64URL(c byte) bool    { return isAlphanumeric(c) || c == '-' || c == '_' }
func isName(c byte) bool         { return isBase64URL(c) || c == '.' }
func isBlank(c byte) bool        { return c == ' ' || c == '\t' }

// isToken68 is for the bytes of RFC 9110's token68, and of it in a URL.
func isToken68(c byte) bool {
	return isBase64URL(c) || c == '.' || c == '~' || c == '+' || c == '/' || c == '=' || c == '%'
}
