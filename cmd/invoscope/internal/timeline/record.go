package timeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/relay/invocation"
)

// record is a log line taken apart for people.
type record struct {
	level   string // upper case; may be empty
	message string
	code    string   // Restate's, such as RT0007
	fields  []string // "key=value", of what is worth a look
	detail  []string // further lines: an error's text
	stack   int      // lines of a stack trace that isn't shown
	says    says
	wakeUp  time.Time // when a scheduled invocation is due
	invokes string    // the id of the invocation that it starts
}

// says is what a line tells of the invocation.
type says int

const (
	nothing says = iota
	saysScheduled
	saysInvoked
	saysAttempt // an attempt begins
	saysSuspended
	saysResumed
	saysRetry
	saysPaused
)

// messages are Restate's whose beginnings tell something. docs/restate.md has them.
var messages = []struct {
	begins string
	says   says
}{
	{"Store scheduled invocation", saysScheduled},
	{"Register background invoke timer", saysScheduled},
	{"Executing invocation at deployment", saysAttempt},
	{"Effect: Resume service", saysResumed},
	{"Try resolving future ", saysSuspended},
	{"Invocation error, retrying in ", saysRetry},
	{"Error when executing the invocation, pausing", saysPaused},
	{"Paused the invocation", saysPaused},
}

// maxDetail bounds the further lines that are shown of one log line.
const maxDetail = 12

// readRecord takes a log line of the invocation self apart.
func readRecord(log *invocation.LogEvent, self string) record {
	r, ok := readJSON(log.Line, self)
	if !ok {
		r = readText(log.Line)
	}
	if level := strings.ToUpper(log.Level); level != "" && level != "UNKNOWN" {
		r.level = level
	}
	for _, m := range messages {
		if strings.HasPrefix(r.message, m.begins) {
			r.says = m.says
		}
	}
	if r.message == "Invoke" {
		r.says = saysInvoked
	}
	if r.code == "" {
		r.code = log.Metadata[correlate.MetaErrorCode]
	}
	return r
}

// boring are fields that the story tells anyway, or that are shown elsewhere.
var boring = []string{"rpc.service", "rpc.method", "restate.invocation.target", "restate.deployment.id"}

// readJSON reads a record of a Restate server.
func readJSON(line, self string) (r record, ok bool) {
	if !strings.HasPrefix(line, "{") {
		return r, false
	}
	var outer struct {
		Level   string          `json:"level"`
		Fields  json.RawMessage `json:"fields"`
		Message string          `json:"message"`
	}
	if json.Unmarshal([]byte(line), &outer) != nil {
		return r, false
	}
	r.level, r.message = strings.ToUpper(outer.Level), outer.Message
	id := ""
	for key, value := range objectOf(outer.Fields) {
		switch {
		case key == "message":
			r.message = value
		case key == "restate.error.code":
			r.code = value
		case key == "error":
			r.detail = append(r.detail, detailLines(value)...)
		case strings.HasSuffix(key, "stacktrace"):
			r.stack += len(detailLines(value))
		case slices.Contains(boring, key), key == "restate.invocation.id" && value == self:
		default:
			r.fields = append(r.fields, strings.TrimPrefix(key, "restate.")+"="+quoted(value))
		}
		switch key {
		case "restate.timer.wake_up_time":
			r.wakeUp = wakeUp(value)
		case "restate.invocation.id":
			id = value
		}
	}
	if strings.HasPrefix(r.message, "Effect: Send service invocation") && id != self {
		r.invokes = id
	}
	return r, r.message != "" || len(r.fields) > 0 || len(r.detail) > 0
}

// objectOf yields the members of a JSON object in their order, with values as text.
// What isn't an object has none.
func objectOf(object json.RawMessage) func(yield func(key, value string) bool) {
	return func(yield func(key, value string) bool) {
		d := json.NewDecoder(bytes.NewReader(object))
		d.UseNumber()
		if t, err := d.Token(); err != nil || t != json.Delim('{') {
			return
		}
		for d.More() {
			key, err := d.Token()
			var value any
			if err == nil {
				err = d.Decode(&value)
			}
			name, ok := key.(string)
			if err != nil || !ok || !yield(name, valueText(value)) {
				return
			}
		}
	}
}

func valueText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any, []any:
		text, err := json.Marshal(v)
		if err == nil {
			return string(text)
		}
	}
	return fmt.Sprint(v)
}

// quoted is a value, in quotes where it would run into what follows.
func quoted(value string) string {
	if value == "" || strings.ContainsAny(value, " \n\t\"") {
		return strconv.Quote(value)
	}
	return value
}

func detailLines(text string) []string {
	return strings.Split(strings.TrimRight(text, "\n"), "\n")
}

// wakeUp reads a time such as "1795573807473 ms since epoch".
func wakeUp(value string) time.Time {
	number, _, _ := strings.Cut(value, " ")
	ms, err := strconv.ParseInt(number, 10, 64)
	if err != nil || ms <= 0 || ms > 1<<50 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

var (
	// sdkPrefix is how the TypeScript SDK begins a line.
	sdkPrefix = regexp.MustCompile(`^\[restate\]\[[^\]]*\](?:\[[^\]]*\])*\s+([A-Z]+):\s*`)
	// textPrefix is how compact and pretty begin a record: time, level, and what they
	// write before the message: spans and module, which pretty has on a line of its own.
	textPrefix = regexp.MustCompile(`^\s*\d{4}-\d\d-\d\dT[0-9:.]+Z?\s+(TRACE|DEBUG|INFO|WARN|ERROR)\s+(?:(?:[a-z_:]+: )?restate_[a-z0-9_:]+(?:: |\s*$))?`)
)

// readText takes apart what isn't JSON.
func readText(line string) (r record) {
	rows := detailLines(sgr.ReplaceAllString(strings.ReplaceAll(line, "\r\n", "\n"), ""))
	for _, prefix := range []*regexp.Regexp{sdkPrefix, textPrefix} {
		if match := prefix.FindStringSubmatch(rows[0]); match != nil {
			r.level, rows[0] = match[1], rows[0][len(match[0]):]
			break
		}
	}
	for _, row := range rows {
		row = strings.TrimRight(row, " ")
		switch {
		case row == "":
		case r.message == "":
			r.message = strings.TrimSpace(row)
		default:
			r.detail = append(r.detail, row)
		}
	}
	return r
}
