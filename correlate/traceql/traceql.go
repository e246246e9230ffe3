package traceql

import (
	"strings"

	"github.com/invoscope/invoscope/correlate"
)

// attribute is the span attribute that holds an invocation's id.
const attribute = "restate.invocation.id"

// space is what Tempo skips between tokens (text/scanner.GoWhitespace).
const space = " \t\r\n"

// InvocationID returns the id that query asks for when it is exactly
//
//	{ .restate.invocation.id = "inv_1…" }
//
// with any white space; the attribute may have the scope span and parts of its
// name in double quotes, the id may be in double or back quotes and may come
// first. Such a query selects the spans with this attribute; without the scope also
// those whose resource has it, as none of Restate's.
//
// Other scopes aren't recognised: a resource, an event, a link or a parent with
// this attribute doesn't tell that the span is the invocation's. Neither are
// pipelines, hints, comments, parentheses and escapes.
func InvocationID(query string) (correlate.InvocationID, bool) {
	s := scanner{query}
	if !s.skip("{") {
		return correlate.InvocationID{}, false
	}
	text, ok := s.equality()
	if !ok || !s.skip("}") || strings.Trim(s.rest, space) != "" {
		return correlate.InvocationID{}, false
	}
	id, err := correlate.ParseInvocationID(text)
	return id, err == nil
}

// Spans is the query for the spans of an invocation. Its scope halves Tempo's work,
// at least: without one it looks at each resource for the attribute, too. With the
// trace's id besides, it takes no less.
func Spans(id correlate.InvocationID) string {
	return "{ span." + attribute + ` = "` + id.String() + `" }`
}

// scanner reads a query from its front.
type scanner struct{ rest string }

// skip reads a token and the white space before it, and reports whether it was
// there.
func (s *scanner) skip(token string) (ok bool) {
	s.rest, ok = strings.CutPrefix(strings.TrimLeft(s.rest, space), token)
	return ok
}

// equality reads what stands between the braces and returns the string in it.
func (s *scanner) equality() (text string, ok bool) {
	if text, ok = s.text(); ok {
		return text, s.skip("=") && s.attribute()
	}
	if !s.attribute() || !s.skip("=") {
		return "", false
	}
	return s.text()
}

// text reads a string. It takes escapes for what they look like; no id has one.
func (s *scanner) text() (string, bool) {
	for _, quote := range []string{`"`, "`"} {
		if !s.skip(quote) {
			continue
		}
		text, rest, ok := strings.Cut(s.rest, quote)
		s.rest = rest
		return text, ok
	}
	return "", false
}

// attribute reads the attribute. Its name ends where Tempo ends it; a longer
// name is another attribute.
func (s *scanner) attribute() bool {
	if !s.skip("span.") && !s.skip(".") {
		return false
	}
	name, quoted := attribute, false
	for s.rest != "" {
		switch c := s.rest[0]; {
		case c == '"':
			quoted = !quoted
		case name != "" && c == name[0]:
			name = name[1:]
		default:
			return name == "" && !quoted && strings.IndexByte(space+"=}", c) >= 0
		}
		s.rest = s.rest[1:]
	}
	return false
}
