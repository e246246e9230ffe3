package tenancy

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// rawJSON is a valid JSON value without blanks around it. It is read where it stands: a
// tree of what strangers send would cost a hundred times the room of their bytes. And
// encoding/json alone won't do, which takes the last of two members of the same name, and
// takes "Tenant" for "tenant".
type rawJSON []byte

// parseJSON checks that b is JSON, and nothing else.
func parseJSON(b []byte) (rawJSON, bool) {
	if !json.Valid(b) {
		return nil, false
	}
	return bytes.Trim(b, " \t\r\n"), true
}

func (v rawJSON) object() bool { return v[0] == '{' }
func (v rawJSON) array() bool  { return v[0] == '[' }
func (v rawJSON) null() bool   { return v[0] == 'n' }

// text returns what a string says.
func (v rawJSON) text() (string, bool) {
	if v[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1]), true
	}
	var s string
	err := json.Unmarshal(v, &s)
	return s, err == nil
}

// is reports whether v is a string that says s.
func (v rawJSON) is(s string) bool {
	if bytes.IndexByte(v, '\\') < 0 {
		return len(v) == len(s)+2 && string(v[1:len(v)-1]) == s
	}
	got, ok := v.text()
	return ok && got == s
}

// number returns a number, as near as a float64 comes.
func (v rawJSON) number() (float64, bool) {
	f, err := strconv.ParseFloat(string(v), 64)
	return f, err == nil && (v[0] == '-' || '0' <= v[0] && v[0] <= '9')
}

// texts returns what an array of strings says; strings alone, without null.
func (v rawJSON) texts() ([]string, bool) {
	if !v.array() {
		return nil, false
	}
	all, ok := []string{}, true
	v.each(func(_, element rawJSON) {
		text, is := element.text()
		all, ok = append(all, text), ok && is
	})
	return all, ok
}

// each calls f with every member of an object, or with every element of an array.
func (v rawJSON) each(f func(name, value rawJSON)) {
	for rest := v[1:].afterBlanks(); rest[0] != '}' && rest[0] != ']'; rest = rest.afterBlanks() {
		if rest[0] == ',' {
			rest = rest[1:].afterBlanks()
		}
		var name, value rawJSON
		if v.object() {
			name, rest = rest.first()
			rest = rest.afterBlanks()[1:].afterBlanks() // the colon
		}
		value, rest = rest.first()
		f(name, value)
	}
}

func (v rawJSON) afterBlanks() rawJSON { return bytes.TrimLeft(v, " \t\r\n") }

// first cuts v after its first value.
func (v rawJSON) first() (value, rest rawJSON) {
	depth, quoted := 0, false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			if !quoted && depth == 0 {
				return v[:i+1], v[i+1:]
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case (c == '}' || c == ']') && depth > 0:
			if depth--; depth == 0 {
				return v[:i+1], v[i+1:]
			}
		case depth == 0 && strings.IndexByte(",]} \t\r\n", c) >= 0:
			return v[:i], v[i:]
		}
	}
	return v, nil
}

var errTwice = errors.New("a name is there twice")

// member returns the member of an object that has this name, or nil. Two of them are an
// error: readers don't agree on which counts.
func (v rawJSON) member(name string) (rawJSON, error) {
	var found rawJSON
	twice := false
	v.each(func(key, value rawJSON) {
		if key.is(name) {
			twice = twice || found != nil
			found = value
		}
	})
	if twice {
		return nil, errTwice
	}
	return found, nil
}

// element returns the element of an array that a step of a JSON pointer names, or nil.
func (v rawJSON) element(step string) (found rawJSON) {
	// RFC 6901, section 4: no leading zeros. Atoi would also take a sign.
	want, err := strconv.Atoi(step)
	if err != nil || strconv.Itoa(want) != step {
		return nil
	}
	at := 0
	v.each(func(_, value rawJSON) {
		if at == want {
			found = value
		}
		at++
	})
	return found
}

// find returns what is at the end of steps, or nil if there is nothing, or null.
func (v rawJSON) find(steps ...string) (rawJSON, error) {
	for _, step := range steps {
		var err error
		switch {
		case v.object():
			v, err = v.member(step)
		case v.array():
			v = v.element(step)
		default:
			return nil, nil
		}
		if v == nil || err != nil {
			return nil, err
		}
	}
	if v.null() {
		return nil, nil
	}
	return v, nil
}
