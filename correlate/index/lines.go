package index

import (
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/internal/wire"
)

// Lines learns from a push.PushRequest, not compressed. It returns an error when
// the message can't be decoded; what came before is learnt.
func (b *Batch) Lines(request []byte) error {
	return each(request, 1, func(stream []byte) error {
		return each(stream, 2, b.entry)
	})
}

// entry is a log entry with what ingest found in it. Its texts are those of the
// message.
type entry struct {
	time                      int64
	line                      string
	id, related, target, code string
}

func (b *Batch) entry(body []byte) error {
	e := &b.scratch.entry
	*e = entry{}
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Is(1):
			e.time = timestamp(f.Content)
		case f.Is(2):
			e.line = wire.Text(f.Content)
		case f.Is(3):
			if err := e.metadata(f.Content); err != nil {
				return err
			}
		}
	}
	if f.Broken {
		return errWire
	}
	if e.id == "" || e.time <= 0 || b.tooLate(e.time) {
		return nil
	}
	id, err := correlate.ParseInvocationID(e.id)
	if err != nil {
		return nil // the sender's own metadata
	}
	r := b.record(id)
	r.see(e.time, e.time)
	r.name(e.target, false)
	if e.code != "" {
		latest(&r.ErrorCode, At[string]{e.time, strings.Clone(cut(e.code))}, strings.Compare)
	}
	b.tell(r, e)
	return nil
}

// timestamp reads a google.protobuf.Timestamp, in nanoseconds since 1970. It is 0 for
// what no such number can tell.
func timestamp(b []byte) int64 {
	var seconds, nanos int64
	f := wire.Fields{Body: b}
	for f.Next() {
		switch {
		case f.Kind != protowire.VarintType:
		case f.Number == 1:
			seconds = int64(f.Value)
		case f.Number == 2:
			nanos = int64(f.Value)
		}
	}
	if f.Broken {
		return 0
	}
	if seconds < 0 || seconds >= math.MaxInt64/int64(1e9) || nanos < 0 || nanos >= 1e9 {
		return 0
	}
	return seconds*1e9 + nanos
}

func (e *entry) metadata(pair []byte) error {
	var name, value string
	f := wire.Fields{Body: pair}
	for f.Next() {
		switch {
		case f.Is(1):
			name = wire.Text(f.Content)
		case f.Is(2):
			value = wire.Text(f.Content)
		}
	}
	if f.Broken {
		return errWire
	}
	switch name {
	case correlate.MetaInvocationID:
		e.id = value
	case correlate.MetaRelated:
		e.related = value
	case correlate.MetaTarget:
		e.target = value
	case correlate.MetaErrorCode:
		e.code = value
	}
	return nil
}

// messages are Restate's that tell what becomes of the current invocation, of
// versions 1.6 and 1.7; docs/restate.md has them in their order. A message that is
// none of them tells nothing.
var messages = []struct {
	begins string
	tell   func(b *Batch, r *Record, e *entry, rest string)
}{
	{"Processing invocation request", (*Batch).requested},
	{"First time we see this invocation id", (*Batch).begun},
	{"Store scheduled invocation", state(Scheduled)},
	{"Invoke", state(Running)},
	{"Executing invocation at deployment", state(Running)},
	{"Effect: Resume service", state(Running)},
	{"Try resolving future ", state(Suspended)},
	{"Paused the invocation", state(Paused)},
	{"Error when executing the invocation, pausing", failing(Paused)},
	{"Error when executing the invocation, not going to retry", failing(Running)},
	{"Invocation error, retrying in ", failing(Running)},
	{"Effect: Store completed invocation", (*Batch).completed},
	{"Effect: Free invocation", (*Batch).freed},
	{"Send response to ingress with request id ", (*Batch).answered},
	{"Effect: Send service invocation to partition processor", (*Batch).invoked},
}

// tell adds to r what the line's message says of it.
func (b *Batch) tell(r *Record, e *entry) {
	message := messageOf(e.line)
	for i := range messages {
		if after, ok := strings.CutPrefix(message, messages[i].begins); ok && !(messages[i].begins == "Invoke" && continuesWord(after)) {
			if isRestates(e.line) {
				messages[i].tell(b, r, e, after)
			}
			return
		}
	}
}

// isRestates reports whether a record in JSON comes from a module of Restate, as its
// target tells. Services log in JSON, too, and may say that they "Invoke" something. Of
// the other formats messageOf only takes what a module of Restate precedes.
func isRestates(line string) bool {
	return !strings.HasPrefix(line, "{") ||
		strings.Contains(line, `"target":"restate_`) || strings.Contains(line, `\"target\":\"restate_`)
}

// continuesWord reports whether s begins with a letter.
func continuesWord(s string) bool { return s != "" && (s[0]|0x20) >= 'a' && (s[0]|0x20) <= 'z' }

// messageOf is what follows the beginning of the line's message, which is the
// message of a server's record in JSON, also one within a JSON string, or the text
// behind the last module's name in compact and pretty.
func messageOf(line string) string {
	const key = `"message":"`
	if strings.HasPrefix(line, "{") {
		if i := strings.Index(line, key); i >= 0 {
			return line[i+len(key):]
		}
		const escaped = `\"message\":\"`
		if i := strings.Index(line, escaped); i >= 0 {
			return line[i+len(escaped):]
		}
		return ""
	}
	const module = "restate_" // of Rust's paths, which Restate's own all begin with
	i := strings.Index(line, module)
	if i < 0 {
		return ""
	}
	path := line[i:]
	end := strings.IndexAny(path, " \n\x1b")
	if end < 0 {
		return ""
	}
	return skipDecoration(path[end:])
}

// skipDecoration skips the colours, spaces and newlines before pretty's message.
func skipDecoration(s string) string {
	for s != "" {
		switch {
		case s[0] == ' ' || s[0] == '\n' || s[0] == ':':
			s = s[1:]
		case strings.HasPrefix(s, "\x1b["):
			i := strings.IndexByte(s, 'm')
			if i < 0 {
				return ""
			}
			s = s[i+1:]
		default:
			return s
		}
	}
	return s
}

func state(o Outcome) func(*Batch, *Record, *entry, string) {
	return func(_ *Batch, r *Record, e *entry, _ string) { r.state(e.time, o) }
}

// failing is an attempt that failed, and what the invocation does then.
func failing(o Outcome) func(*Batch, *Record, *entry, string) {
	return func(_ *Batch, r *Record, e *entry, rest string) {
		r.state(e.time, o)
		if status, message := errorIn(rest); message != "" {
			r.failed(e.time, strings.Clone(status), message)
		}
	}
}

func (b *Batch) requested(r *Record, e *entry, _ string) { r.requested(e.time) }

func (b *Batch) begun(r *Record, e *entry, _ string) { r.Begun = max(r.Begun, e.time) }

// freed is what happens to a scheduled invocation that is cancelled or killed, and to
// others long after their end.
func (b *Batch) freed(r *Record, e *entry, _ string) { r.Freed = max(r.Freed, e.time) }

func (b *Batch) completed(r *Record, e *entry, _ string) { r.Completed = max(r.Completed, e.time) }

// answered reads the response that waits at the ingress: `'id': Success` or
// `'id': Failure([402] message)`. What is sent to another invocation isn't read: it
// may also be of a promise, long before the end.
func (b *Batch) answered(r *Record, e *entry, rest string) {
	_, result, _ := strings.Cut(rest, "': ")
	switch {
	case strings.HasPrefix(result, "Success"):
		r.ended(&r.Result, e.time, Succeeded)
	case strings.HasPrefix(result, "Failure("):
		status, message := failureIn(result)
		message = strings.TrimSuffix(message, ")")
		if isRefusal(message) {
			return
		}
		r.ended(&r.Result, e.time, Failed)
		if message != "" {
			r.failed(e.time, strings.Clone(status), message)
		}
	}
}

// isRefusal reports whether a failure is, or may be, Restate's answer to a request that
// came in addition, of which the invocation itself knows nothing: see the errors in
// restate's crates/types/src/errors.rs.
func isRefusal(message string) bool {
	switch message {
	case "the workflow method was already invoked", "the response is not ready yet", "not found", "gone":
		return true
	}
	return strings.HasPrefix(message, "attach not supported for this invocation")
}

// invoked reads that the current invocation calls another, or sends it one-way: it
// is the one other id on the line.
func (b *Batch) invoked(r *Record, e *entry, _ string) {
	callee, err := correlate.ParseInvocationID(e.related)
	if err != nil {
		return // there are several, or none
	}
	c := b.record(callee)
	c.see(e.time, e.time)
	latest(&c.Caller, At[correlate.InvocationID]{e.time, r.ID}, compareIDs)
}

// errorIn reads the field error, of whichever format. What a service answered is on
// the line behind its introduction.
func errorIn(s string) (status, message string) {
	_, s, ok := strings.Cut(s, "error")
	if !ok {
		return "", ""
	}
	s = skipDecoration(strings.TrimLeft(s, `"=`))
	s = strings.TrimLeft(s, `"`)
	if strings.HasPrefix(s, "Got a (transient) error") {
		return failureIn(s)
	}
	message, _, _ = strings.Cut(firstLine(s), " restate.") // compact's next field
	return "", message
}

// failureIn finds the error that Restate prints as `[500 Internal] message`, up to
// the end of its first line.
func failureIn(s string) (status, message string) {
	for {
		i := strings.IndexByte(s, '[')
		if i < 0 || i+1 >= len(s) {
			return "", ""
		}
		s = s[i+1:]
		if s[0] >= '1' && s[0] <= '9' {
			break
		}
	}
	status, rest, ok := strings.Cut(s, "] ")
	if !ok || len(status) > 64 {
		return "", ""
	}
	return status, strings.TrimSuffix(firstLine(rest), ".")
}

// firstLine copies the first line of s, which ends where JSON's string does, too.
func firstLine(s string) string {
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < maxText; i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			if i++; s[i] == 'n' {
				return b.String()
			}
			b.WriteByte(s[i])
		case c == '"' || c == '\n' || c == '\x1b':
			return b.String()
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
