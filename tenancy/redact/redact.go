package redact

import (
	"io"
	"strings"
	"unsafe"
)

// mask stands where a secret was.
const mask = "<secret>"

// String returns s without what looks like a secret.
func String(s string) string {
	from, to := next(s, 0)
	if from < 0 {
		return s
	}
	var b strings.Builder
	done := 0
	for from >= 0 {
		b.WriteString(s[done:from])
		b.WriteString(mask)
		done = to
		from, to = next(s, done)
	}
	b.WriteString(s[done:])
	return b.String()
}

// Writer returns a writer that writes to w without what looks like a secret. Each Write
// is looked at by itself: it should be of whole lines, as slog's handlers write them.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ to io.Writer }

// Write reports all of p as written if all that is left of it was.
func (w writer) Write(p []byte) (int, error) {
	s := unsafe.String(unsafe.SliceData(p), len(p)) // nobody keeps it, and p doesn't change meanwhile
	from, _ := next(s, 0)
	if from < 0 {
		return w.to.Write(p)
	}
	clean := String(s)
	n, err := io.WriteString(w.to, clean)
	if n == len(clean) {
		return len(p), err
	}
	return min(n, len(p)), err
}

// next finds the first secret in s that begins at i or later; from is negative if there
// is none. It looks for the rare byte in each form, and from there to both sides.
func next(s string, i int) (from, to int) {
	start := i // what was looked at before is not looked at again
	before := byte(' ')
	for ; i < len(s); i++ {
		c := s[i]
		from, to = -1, -1
		switch c {
		case 'J':
			if before == 'y' {
				from, to = jwt(s, i)
			}
		case '_':
			if before == 'k' {
				from, to = apiToken(s, i)
			}
		case ' ', '\t', '+', '%':
			if last := before | 0x20; last == 'r' || last == 'c' {
				from, to = schemed(s, i)
			}
		case '=', ':':
			switch {
			case strings.HasPrefix(s[i:], "://"):
				from, to = userinfo(s, i+len("://"))
			case isLetter(before), isQuote(before):
				from, to = named(s, i)
			}
		case '-':
			if before != '-' {
				from, to = pem(s, i)
			}
		}
		if from >= start && to > from {
			return from, to
		}
		before = c
	}
	return -1, -1
}

// jwt finds a JSON Web Token (RFC 7519, section 3.1) by the J of its "eyJ", which is
// `{"` in base64: two parts of it are enough.
func jwt(s string, i int) (from, to int) {
	if i < 2 || s[i-2:i] != "ey" {
		return -1, -1
	}
	const shortest, longest = 12, 1024 // an "alg" alone has more
	end := span(s[:min(len(s), i+longest)], i, isBase64URL)
	if end-i < shortest || end >= len(s) || s[end] != '.' {
		return -1, -1
	}
	if body := span(s, end+1, isBase64URL); body == end+1 {
		return -1, -1
	}
	return i - 2, span(s, end, func(c byte) bool { return c == '.' || isBase64URL(c) })
}

// apiToken finds an opaque token, inv_tok_<id>_<secret>, by the last underscore of its
// prefix. Its id may be known.
func apiToken(s string, i int) (from, to int) {
	const prefix = "inv_tok_"
	if !strings.HasSuffix(s[:i+1], prefix) {
		return -1, -1
	}
	id := span(s, i+1, isAlphanumeric)
	if id >= len(s) || s[id] != '_' {
		return i + 1, id
	}
	return id + 1, span(s, id+1, func(c byte) bool { return c == '_' || isAlphanumeric(c) })
}

// schemed finds a credential behind the name of its scheme, as in "Bearer abc" and
// "Basic%20abc", if it can't be a word of a sentence.
func schemed(s string, i int) (from, to int) {
	word := back(s, i, isLetter)
	scheme := s[word:i]
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "Basic") {
		return -1, -1
	}
	from = i
	for from < len(s) && (s[from] == ' ' || s[from] == '\t' || s[from] == '+') {
		from++
	}
	if strings.HasPrefix(s[from:], "%20") {
		from += len("%20")
	}
	to = span(s, from, isToken68)
	const shortest = 6
	if bare := strings.TrimRight(s[from:to], "="); len(bare) < shortest || !strings.ContainsFunc(bare, isOdd) {
		return -1, -1
	}
	return from, to
}

// isOdd is for runes that sentences don't have within words.
func isOdd(r rune) bool { return r < 'a' || r > 'z' }

// userinfo finds the password in the authority of a URL (RFC 3986, section 3.2.1) that
// begins at i; without one it is the user, who may be a token. A password may have a
// slash in it that should be encoded.
func userinfo(s string, i int) (from, to int) {
	const longest = 1024
	end := span(s[:min(len(s), i+longest)], i, func(c byte) bool { return c > ' ' && c != '"' && c != '\'' && c != '<' && c != '>' && c != '`' })
	authority := i + len(untilAny(s[i:end], "/?#"))
	if at := strings.LastIndexByte(s[i:authority], '@'); at >= 0 {
		if colon := strings.IndexByte(s[i:i+at], ':'); colon >= 0 {
			return i + colon + 1, i + at
		}
		return i, i + at
	}
	colon := strings.IndexByte(s[i:authority], ':')
	at := strings.LastIndexByte(s[i:end], '@')
	if colon < 0 || at < 0 || span(s, i+colon+1, isDigit) == authority { // a port
		return -1, -1
	}
	return i + colon + 1, i + at
}

// pem finds a private key (RFC 7468, section 10).
func pem(s string, i int) (from, to int) {
	const begin, end, private = "-----BEGIN ", "-----END ", "PRIVATE KEY-----"
	if !strings.HasPrefix(s[i:], begin) {
		return -1, -1
	}
	label := i + len(begin)
	kind := span(s, label, func(c byte) bool { return c == ' ' || isLetter(c) })
	if !strings.HasSuffix(s[label:min(kind+len("-----"), len(s))], private) {
		return -1, -1
	}
	from = kind + len("-----")
	if n := strings.Index(s[from:], end); n >= 0 {
		return from, from + n
	}
	return from, len(s)
}
