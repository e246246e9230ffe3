package correlate

import (
	"cmp"
	"strings"
)

const (
	// maxRelated bounds the related ids of one line, so that a line made of
	// ids neither takes quadratic time nor fills an engine's metadata limits.
	maxRelated = 64
	// maxWrapping is how many layers around a record are taken off, such as a
	// Docker record around a prefix around a Restate record.
	maxWrapping = 4
)

// Facts is what one log line says about invocations. Every field is empty when
// the line doesn't say. The strings are substrings of the line where possible:
// they are valid for ever, and keep the line in memory as long as they live.
type Facts struct {
	InvocationID string   // the current invocation
	Related      []string // the other invocation ids on the line, in order of appearance, without repeats, at most 64
	Target       string   // "Service/handler" or "Object/key/handler" of the current invocation
	Level        string   // as the line spells it, such as "DEBUG"
	ErrorCode    string   // of Restate's list of errors, such as "RT0007"
	RetryCount   string   // of the current invocation: digits
}

// Extract sets f to the facts of line, forgetting what it held. The memory of
// f.Related is used again, so a caller that keeps Related copies it or uses
// another Facts. The line is one record; it may contain newlines.
//
// The current invocation of a JSON record is the first id found in: its "span"
// object, the elements of "spans" from last to first (innermost first),
// "fields", the top level; each under the key restate.invocation.id or
// invocation_id. Of a key that is repeated in one object the first counts. The
// target is restate.invocation.target of the same object; if that has none, of
// the next place, in the same order, that names the same id. (Restate's retry
// warnings have the id in "span" and the target only in "fields".)
//
// In compact and pretty records and in plain text it is the last id that
// follows such a key, since span fields come after those of the event and the
// innermost span comes last; the target is the one that follows the last mention
// of it that has one before the next id. On a console line of the SDK for TypeScript
// it is the fourth bracket, the target the third; on one of the SDK for Java, where
// brackets follow the level, it is the second and the first.
//
// Without any of these it is the first id in the text, and there is no target.
//
// The error code is restate.error.code, and the retry count is retry_count, of
// what a JSON record says of its event: its "fields", or its top level when it has
// none; unless that names another invocation. In text each is the first that
// stands behind its key. A line at DEBUG or TRACE has neither, as Restate gives
// codes to events of the higher levels only; nor has an SDK line. There is no retry
// count without an invocation.
//
// A record inside a JSON string or behind a prefix, in any format, is read when
// what surrounds it doesn't say all; up to four layers.
//
// Targets are taken as spelled. Of an object, Restate's ingress writes
// "Counter/{key}/add", and the SDK's first line of an invocation "Counter/add".
//
// The time is linear in the length of the line. Memory is only allocated for
// related ids (once per Facts), for a record wrapped in a JSON string, and for
// a target or level that JSON writes with escapes.
func (f *Facts) Extract(line string) {
	*f = Facts{Related: f.Related[:0]}
	f.collect(line)
	known := f.InvocationID

	current, target := "", ""
	for doc, layer := line, 0; doc != "" && layer < maxWrapping; layer++ {
		r := readRecord(doc, wanted{known, f.Level})
		if f.Level == "" {
			f.Level = r.level
		}
		if r.id != "" {
			current, target, known = r.id, r.target, ""
		}
		if r.event.id == "" || current == "" || r.event.id == current {
			f.ErrorCode = cmp.Or(f.ErrorCode, r.event.code)
			f.RetryCount = cmp.Or(f.RetryCount, r.event.retries)
		}
		if f.Level != "" && known == "" {
			break
		}
		doc = r.wrapped
	}
	if current != "" {
		f.setCurrent(current)
		f.Target = target
	}
	if !hasError(f.Level) {
		f.ErrorCode, f.RetryCount = "", ""
	} else if f.InvocationID == "" {
		f.RetryCount = ""
	}
}

// collect notes the distinct ids of line: the first as the current one, until a
// better reason is found, the others as related.
func (f *Facts) collect(line string) {
	i := nextID(line, 0, "")
	if i < 0 {
		return
	}
	f.InvocationID = line[i : i+idLen]
	for len(f.Related) < maxRelated {
		if i = nextID(line, i+idLen, f.InvocationID); i < 0 {
			return
		}
		if id := line[i : i+idLen]; !f.mentions(id) {
			f.Related = append(f.Related, id)
		}
	}
}

func (f *Facts) mentions(id string) bool {
	if f.InvocationID == id {
		return true
	}
	for _, r := range f.Related {
		if r == id {
			return true
		}
	}
	return false
}

// setCurrent makes id the current invocation, and the one that was a related
// one. That one is first in the line, so the order of appearance is kept.
func (f *Facts) setCurrent(id string) {
	if f.InvocationID == id {
		return
	}
	at := len(f.Related)
	for i, r := range f.Related {
		if r == id {
			at = i
			break
		}
	}
	if at == len(f.Related) && at < maxRelated {
		f.Related = append(f.Related, "")
	}
	if at == maxRelated {
		at--
	}
	copy(f.Related[1:at+1], f.Related[:at])
	f.Related[0] = f.InvocationID
	f.InvocationID = id
}

// wanted is what is known of a line before one of its layers is read.
type wanted struct {
	known string // any id of the line; empty when it has none or its current one was found
	level string // empty while it is unknown
}

// event is what a record says of its event: the invocation that it names, and its
// error.
type event struct{ id, code, retries string }

// record is what one layer of a line says. Id and target are only set when the
// layer's structure names the current invocation.
type record struct {
	id, target, level string
	event             event
	wrapped           string // a record inside this one, when this one doesn't say all
}

// readRecord reads doc in whichever format it is.
func readRecord(doc string, w wanted) record {
	doc = doc[afterSpace(doc, 0):]
	if strings.HasPrefix(doc, "{") {
		return readJSON(doc, w)
	}
	if rest, ok := strings.CutPrefix(doc, sdkPrefix); ok {
		return readSDK(rest, w.known != "")
	}
	var r record
	var rest string
	r.level, rest = head(doc)
	if r.level == "" {
		if r.wrapped = behindPrefix(doc); r.wrapped != "" {
			return r
		}
	} else if w.level == "" {
		w.level = r.level
	}
	if w.known != "" {
		if r.id, r.target = keyed(doc); r.id == "" {
			r.id, r.target, _ = bracketed(rest)
		}
	}
	if hasError(w.level) {
		r.event = event{code: errorCodeIn(doc), retries: retryCountIn(doc)}
	}
	return r
}
