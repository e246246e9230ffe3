package correlate

import "strings"

// sdkPrefix begins the TypeScript SDK's console lines:
// [restate][time][target][id] LEVEL: message. Lines outside of an invocation
// have neither target nor id.
const sdkPrefix = "[restate]["

// readSDK reads an SDK line, without its prefix.
func readSDK(rest string, ids bool) record {
	var r record
	_, rest, _ = strings.Cut(rest, "]")
	if ids {
		r.id, r.target, rest = bracketed(rest)
	}
	for strings.HasPrefix(rest, "[") {
		_, rest, _ = strings.Cut(rest, "]")
	}
	if level, _, ok := strings.Cut(strings.TrimPrefix(rest, " "), ":"); ok && isLevel(level) {
		r.level = level
	}
	return r
}

// bracketed reads the [target][id] that begins s. It returns s when something else
// does, such as another bracket and a space.
func bracketed(s string) (id, target, rest string) {
	if !strings.HasPrefix(s, "[") {
		return "", "", s
	}
	// An object's key may contain brackets, so the id ends the target.
	if i := strings.Index(s, "]["+idPrefix); i > 0 {
		end := i + 2 + idLen
		if end < len(s) && s[end] == ']' && isID(s[i+2:end]) && !strings.Contains(s[:i], "] ") {
			return s[i+2 : end], s[1:i], s[end+1:]
		}
	}
	return "", "", s
}

// head is the level that follows the time at the beginning of a text record, both
// perhaps coloured, and what follows it. There is no level when doc begins
// otherwise.
func head(doc string) (level, rest string) {
	const date = len("2006-01-02")
	doc = doc[afterColour(doc):]
	if !beginsWithTime(doc) {
		return "", ""
	}
	_, doc = word(doc[date+1:])
	doc = strings.TrimLeft(doc[afterColour(doc):], " ")
	if level, rest = word(doc[afterColour(doc):]); isLevel(level) {
		return level, strings.TrimLeft(rest, " ")
	}
	return "", ""
}

// isDated reports whether s begins with a date and a T.
func isDated(s string) bool {
	const layout = "0000-00-00T"
	if len(s) < len(layout) {
		return false
	}
	for i := range len(layout) {
		if c := s[i]; layout[i] == '0' && (c < '0' || c > '9') || layout[i] != '0' && c != layout[i] {
			return false
		}
	}
	return true
}

// word is what doc has before the first space or escape, and the rest.
func word(doc string) (string, string) {
	for i := range len(doc) {
		if doc[i] <= ' ' {
			return doc[:i], doc[i:]
		}
	}
	return doc, ""
}

// isLevel knows the levels of Restate and its SDKs, which both write so.
func isLevel(s string) bool {
	switch s {
	case "TRACE", "DEBUG", "INFO", "WARN", "ERROR":
		return true
	}
	return false
}

// afterColour is the length of the terminal colour sequences that begin s.
func afterColour(s string) int {
	n := 0
	for strings.HasPrefix(s[n:], "\x1b[") {
		i := n + 2
		for i < len(s) && (s[i] == ';' || s[i] >= '0' && s[i] <= '9') {
			i++
		}
		if i == len(s) || s[i] != 'm' {
			return n
		}
		n = i + 1
	}
	return n
}

// behindPrefix is the JSON or SDK record that doc has behind other text, or
// empty.
func behindPrefix(doc string) string {
	if i := strings.Index(doc, sdkPrefix); i > 0 {
		return doc[i:]
	}
	if i := strings.Index(doc, `{"`); i > 0 && strings.HasSuffix(strings.TrimRight(doc, " \r\n"), "}") {
		return doc[i:]
	}
	return ""
}

// keyed is the last id of doc that follows its key, and the target that
// follows the last mention of it that has one.
func keyed(doc string) (id, target string) {
	for i := nextID(doc, 0, ""); i >= 0; i = nextID(doc, i+idLen, id) {
		if followsKey(doc[:i]) {
			id = doc[i : i+idLen]
		}
	}
	if id == "" {
		return "", ""
	}
	for i := nextID(doc, 0, id); i >= 0; {
		end, next := len(doc), nextID(doc, i+idLen, id)
		if next >= 0 {
			end = next
		}
		if doc[i:i+idLen] == id {
			if t := targetIn(doc[i+idLen : end]); t != "" {
				target = t
			}
		}
		i = next
	}
	return id, target
}

// followsKey reports whether before, which ends at an id, ends in the id's key
// and a separator.
func followsKey(before string) bool {
	before = trimSeparator(before)
	return strings.HasSuffix(before, "restate.invocation.id") || strings.HasSuffix(before, "invocation_id")
}

// trimSeparator takes from the end of s what stands between a key and its value:
// an equals sign or a colon, quotes, spaces and colours.
func trimSeparator(s string) string {
	const longest = 48 // bytes, so that each id costs the same
	for shortest := len(s) - longest; len(s) > max(shortest, 0); {
		switch s[len(s)-1] {
		case '=', ':', '"', ' ', '\\':
			s = s[:len(s)-1]
		case 'm':
			i := strings.LastIndexByte(s[max(shortest, 0):], '\x1b') + max(shortest, 0)
			if i < 0 || s[i] != '\x1b' || i+afterColour(s[i:]) != len(s) {
				return s
			}
			s = s[:i]
		default:
			return s
		}
	}
	return s
}

// targetIn is the value of the first target key in s, or empty. The key of an
// object may contain spaces, so a value that isn't quoted ends where the next
// field begins, or its line.
func targetIn(s string) string {
	const key = "restate.invocation.target"
	i := strings.Index(s, key)
	if i < 0 {
		return ""
	}
	s, quoted := valueAfter(s[i+len(key):])
	if quoted {
		value, _, _ := strings.Cut(s, `"`)
		return value
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == ' ' && beginsField(s[i+1:]) {
			return s[:i]
		}
	}
	return s
}

// valueAfter is what follows a key of a text record, behind an equals sign or a
// colon and perhaps colours and a quote. It is empty when the key has no value.
func valueAfter(s string) (value string, quoted bool) {
	s = s[afterColour(s):]
	if s == "" || s[0] != '=' && s[0] != ':' {
		return "", false
	}
	s = strings.TrimLeft(s[1:], " ")
	return strings.CutPrefix(s[afterColour(s):], `"`)
}

// beginsField reports whether s begins with a name and an equals sign.
func beginsField(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '=' {
			return i > 0
		} else if c != '.' && !isWord(c) {
			return false
		}
	}
	return false
}
