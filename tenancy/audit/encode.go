package audit

import (
	"strconv"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/invoscope/invoscope/tenancy/redact"
)

// How much is written of what strangers send, in bytes before escaping.
const (
	maxName   = 256 // names: subjects, hosts, …
	maxPath   = 512
	maxReason = 1024
	maxQuery  = 4096 // all parameters of a query together
	maxReads  = 64   // tenants of one identity
)

// line is a buffer for one line.
type line struct{ text []byte }

var lines = sync.Pool{New: func() any { return &line{text: make([]byte, 0, 1024)} }}

// timeFormat is RFC 3339 with microseconds, always of the same length.
const timeFormat = "2006-01-02T15:04:05.000000Z07:00"

// appendRecord appends a record's line. Left is how many lines of strangers were left
// out before it.
func appendRecord(b []byte, r *Record, left uint64) []byte {
	b = append(b, `{"time":"`...)
	b = r.Time.UTC().AppendFormat(b, timeFormat)
	b = append(b, '"')
	b = appendField(b, "phase", string(r.Phase), maxName)
	b = appendIdentity(b, r)
	b = appendField(b, "method", r.Method, maxName)
	b = appendField(b, "route", r.Route, maxPath)
	b = appendField(b, "path", r.Path, maxPath)
	b = appendField(b, "host", r.Host, maxName)
	b = appendField(b, "remote", r.Remote, maxName)
	if r.Phase != Begin {
		b = appendOutcome(b, r)
	}
	b = appendQuery(b, r.Query)
	if left > 0 {
		b = strconv.AppendUint(append(b, `,"suppressed":`...), left, 10)
	}
	return append(b, '}', '\n')
}

func appendIdentity(b []byte, r *Record) []byte {
	id := &r.Identity
	b = appendField(b, "tenant", id.Tenant, maxName)
	switch {
	case id.ReadsAll:
		b = append(b, `,"tenants":["*"]`...)
	case len(id.Reads) > 0:
		b = append(b, `,"tenants":[`...)
		for i, tenant := range id.Reads[:min(len(id.Reads), maxReads)] {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, tenant, maxName)
		}
		if len(id.Reads) > maxReads {
			b = append(b, `,"…"`...)
		}
		b = append(b, ']')
	}
	b = appendField(b, "subject", id.Subject, maxName)
	b = appendField(b, "jti", id.TokenID, maxName)
	return appendField(b, "issuer", id.Issuer, maxName)
}

func appendOutcome(b []byte, r *Record) []byte {
	b = appendField(b, "outcome", string(outcomeOf(r)), maxName)
	if r.Status != 0 {
		b = strconv.AppendInt(append(b, `,"status":`...), int64(r.Status), 10)
	}
	b = appendField(b, "grpc", r.Code, maxName)
	b = appendField(b, "reason", r.Reason, maxReason)
	b = strconv.AppendInt(append(b, `,"bytes_in":`...), r.In, 10)
	b = strconv.AppendInt(append(b, `,"bytes_out":`...), r.Out, 10)
	b = append(b, `,"duration_ms":`...)
	return strconv.AppendFloat(b, float64(r.Took.Microseconds())/float64(time.Millisecond/time.Microsecond), 'f', 3, 64)
}

func appendQuery(b []byte, params []Param) []byte {
	if len(params) == 0 {
		return b
	}
	b = append(b, `,"query":[`...)
	room := maxQuery
	for i, p := range params {
		if i > 0 {
			b = append(b, ',')
		}
		if room <= 0 {
			b = append(b, `{"name":"…","value":"…"}`...)
			break
		}
		b = appendString(append(b, `{"name":`...), p.Name, maxName)
		b = appendString(append(b, `,"value":`...), p.Value, room)
		b = append(b, '}')
		room -= len(p.Value) + len(p.Name)
	}
	return append(b, ']')
}

// appendField appends a member of an object that has one already; none if the value
// is empty.
func appendField(b []byte, name, value string, most int) []byte {
	if value == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return appendString(b, value, most)
}

const hex = "0123456789abcdef"

// appendString appends a JSON string of at most so many bytes of s, without what looks
// like a secret. What isn't printable is escaped, so that a line can't control the
// terminal it is read on.
func appendString(b []byte, s string, most int) []byte {
	// A secret that is cut off may no longer look like one.
	s = redact.String(s[:min(len(s), 2*most)])
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	b = append(b, '"')
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			switch {
			case c == '"', c == '\\':
				b = append(b, '\\', c)
			case c < ' ', c == 0x7f:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			if cut && len(s)-i < utf8.UTFMax && !utf8.FullRuneInString(s[i:]) {
				size = len(s) - i // the cut went through it
				break
			}
			b = append(b, `\ufffd`...)
		case !unicode.IsPrint(r):
			b = appendEscaped(b, r)
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	if cut {
		b = append(b, "…"...)
	}
	return append(b, '"')
}

func appendEscaped(b []byte, r rune) []byte {
	if r > 0xffff {
		const first, low, base = 0x10000, 0x3ff, 10
		r -= first
		b = appendEscaped(b, 0xd800+r>>base)
		return appendEscaped(b, 0xdc00+r&low)
	}
	return append(b, '\\', 'u', hex[r>>12&0xf], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
}
