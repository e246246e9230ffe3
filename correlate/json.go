package correlate

import (
	"math/bits"
	"strings"
)

// The places of a record that can name the current invocation, by precedence.
const (
	noPlace = iota
	atTop
	inFields
	inSpans
	inSpan
)

// naming is what an object's members say of an invocation.
type naming struct {
	event
	target string
}

// jsonReader goes once over the bytes of a JSON object. It knows only strings
// and depth, and reads invalid or truncated JSON as far as it makes sense.
type jsonReader struct {
	wanted
	target bool // whether only the target of known is looked for

	depth    int
	member   string // key of the top-level member that is being read
	place    int    // of the object that keys at keyDepth belong to
	keyDepth int    // 0 outside of any place
	here     naming // of the object at keyDepth
	top      naming

	best     naming
	rank     int // place of best
	event    event
	hasEvent bool
}

// readJSON reads a record that begins with an opening brace.
func readJSON(doc string, w wanted) record {
	r := jsonReader{wanted: w}
	r.read(doc)
	if r.best.id != "" && r.best.target == "" {
		again := jsonReader{wanted: wanted{r.best.id, r.level}, target: true}
		again.read(doc)
		r.best.target = again.best.target
	}
	rec := record{id: r.best.id, target: unescape(r.best.target), level: unescape(r.level), event: r.event}
	if w.known != "" && rec.id == "" || rec.level == "" {
		rec.wrapped = unescape(wrapped(doc, w.known != ""))
	}
	return rec
}

// read returns at the end of the object, of doc, or once all is known.
func (r *jsonReader) read(doc string) {
	for i := 0; i < len(doc); {
		switch doc[i] {
		case '"':
			end := stringEnd(doc, i+1)
			key := doc[i+1 : end]
			i = afterSpace(doc, end+1)
			if i == len(doc) || doc[i] != ':' {
				continue // an element of an array
			}
			i = afterSpace(doc, i+1)
			if r.depth == 1 {
				r.member = key
			}
			if i == len(doc) || doc[i] != '"' {
				r.number(key, doc[i:])
				continue
			}
			end = stringEnd(doc, i+1)
			if r.value(key, doc[i+1:end]) && r.done() {
				return
			}
			i = end + 1
		case '{', '[':
			r.open(doc[i])
			i++
		case '}', ']':
			r.close()
			if r.depth == 0 || r.done() {
				return
			}
			i++
		default:
			i++
		}
	}
	r.ended(r.place, r.here) // what is cut off counts as far as it goes
	r.ended(atTop, r.top)
}

// done reports whether nothing that may still come can change the result.
func (r *jsonReader) done() bool {
	if !r.target && (r.level == "" || !r.hasEvent && hasError(r.level)) {
		return false
	}
	if r.place == inSpan && r.here.id != "" && r.here.target != "" {
		r.accept(inSpan, r.here)
	}
	return r.known == "" || r.rank == inSpan
}

func (r *jsonReader) open(c byte) {
	r.depth++
	switch {
	case r.depth == 2 && c == '{' && r.member == "span":
		r.place, r.keyDepth = inSpan, 2
	case r.depth == 2 && c == '{' && r.member == "fields":
		r.place, r.keyDepth = inFields, 2
	case r.depth == 2 && c == '[' && r.member == "spans":
		r.place, r.keyDepth = inSpans, 3
	}
	if r.depth == r.keyDepth {
		r.here = naming{}
	}
}

func (r *jsonReader) close() {
	if r.depth == r.keyDepth {
		r.ended(r.place, r.here)
		r.here = naming{}
	}
	r.depth--
	switch r.depth {
	case 1:
		r.place, r.keyDepth = noPlace, 0
	case 0:
		r.ended(atTop, r.top)
	}
}

// ended notes what an object says, once it has been read.
func (r *jsonReader) ended(place int, n naming) {
	r.accept(place, n)
	if !r.hasEvent && (place == inFields || place == atTop) {
		r.event, r.hasEvent = n.event, true
	}
}

// accept notes what an object names, if it is better than what is known. Of
// equal places the first is better, but of spans the last is the innermost.
func (r *jsonReader) accept(place int, n naming) {
	if n.id == "" || r.known == "" || r.target && (n.id != r.known || n.target == "") {
		return
	}
	if place > r.rank || place == inSpans && r.rank == inSpans {
		r.best, r.rank = n, place
	}
}

// value reads a member whose value is a string, and reports whether it may be the
// last that is needed.
func (r *jsonReader) value(key, text string) bool {
	if key == "level" {
		if r.depth != 1 || r.level != "" {
			return false
		}
		r.level = text
		return true
	}
	n := r.object()
	if n == nil {
		return false
	}
	switch key {
	case "restate.invocation.id", "invocation_id":
		if n.id == "" && (text == r.known || isID(text)) {
			n.id = text
			return true
		}
	case "restate.invocation.target":
		if n.target == "" {
			n.target = text
			return true
		}
	case "restate.error.code":
		if n.code == "" && isErrorCode(text) {
			n.code = text
		}
	case "retry_count":
		if n.retries == "" && isCount(text) {
			n.retries = text
		}
	}
	return false
}

// number reads a member whose value begins rest and isn't a string.
func (r *jsonReader) number(key, rest string) {
	if key != "retry_count" {
		return
	}
	if n := r.object(); n != nil && n.retries == "" {
		n.retries = leadingCount(rest)
	}
}

// object is the one whose members are read, if it is one that may name an
// invocation.
func (r *jsonReader) object() *naming {
	switch r.depth {
	case r.keyDepth:
		return &r.here
	case 1:
		return &r.top
	}
	return nil
}

// wrapped is the first string in doc, escaped as it is, that is a record of its
// own and has an id, should ids be looked for. Keys are not considered.
func wrapped(doc string, ids bool) string {
	for i := 0; ; {
		quote := strings.IndexByte(doc[i:], '"')
		if quote < 0 {
			return ""
		}
		begin := i + quote + 1
		end := stringEnd(doc, begin)
		text := doc[begin:end]
		i = afterSpace(doc, end+1)
		if beginsRecord(text) && (i == len(doc) || doc[i] != ':') && (!ids || strings.Contains(text, idPrefix)) {
			return text
		}
	}
}

// beginsRecord reports whether the escaped text of a JSON string begins as a
// record does, in any of the formats.
func beginsRecord(text string) bool {
	if text == "" {
		return false
	}
	switch c := text[0]; {
	case c == '{':
		return true
	case c == '[':
		return strings.HasPrefix(text, sdkPrefix)
	case c == '\\': // pretty begins with a colour
		const escape = `\u001b[`
		return len(text) >= len(escape) && strings.EqualFold(text[:len(escape)], escape)
	case c >= '0' && c <= '9': // more than a time alone
		return isDated(text) && strings.IndexByte(text, ' ') > 0
	}
	return false
}

// stringEnd is the index of the quote that ends the string whose text begins at
// i, or len(doc). Most strings of a record are short, where a call of
// strings.IndexByte costs more than looking at eight bytes at a time.
func stringEnd(doc string, i int) int {
	const (
		quotes = 0x2222222222222222
		ones   = 0x0101010101010101
		tops   = 0x8080808080808080
		far    = 64
	)
	start := i
	for end := min(len(doc), i+far) - 8; i <= end; i += 8 {
		b := doc[i : i+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		w ^= quotes
		hit := (w - ones) &^ w & tops
		if hit == 0 {
			continue
		}
		i += bits.TrailingZeros64(hit) / 8 // lowest set bit: first zero byte
		if i == start || doc[i-1] != '\\' {
			return i
		}
		break
	}
	return farStringEnd(doc, start, i)
}

// farStringEnd does the same for any string. The text has no quote before i.
func farStringEnd(doc string, start, i int) int {
	for {
		n := strings.IndexByte(doc[i:], '"')
		if n < 0 {
			return len(doc)
		}
		i += n
		slashes := 0
		for i-slashes > start && doc[i-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
		i++
		start = i
	}
}

// afterSpace is the index of the first byte at i or later that isn't white
// space, or len(doc). All control characters count as such but ESC, which begins
// the colours of pretty.
func afterSpace(doc string, i int) int {
	for i < len(doc) && doc[i] <= ' ' && doc[i] != '\x1b' {
		i++
	}
	return min(i, len(doc))
}
