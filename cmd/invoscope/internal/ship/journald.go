package ship

import (
	"bytes"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"
)

// An entry of journalctl -o json: an object with the fields of
// systemd.journal-fields(7), in any order. A value is a string, an array of
// numbers if it isn't plain text, null if journalctl left it out for its size
// (without --all), or an array of those if the field is there several times.

// isJournald reports whether a line is an entry of journalctl -o json. Names of
// fields begin with an upper case letter or _.
func isJournald(line []byte) bool {
	if len(line) < 3 || line[0] != '{' || line[1] != '"' || line[2] != '_' && (line[2] < 'A' || line[2] > 'Z') {
		return false
	}
	line, _, _ = bytes.Cut(line, []byte{'\n'})
	return bytes.Contains(line, []byte(`"__REALTIME_TIMESTAMP":"`))
}

// maxOpen bounds the lines of which only parts have come, so that one whose end
// never comes doesn't wait for ever.
const maxOpen = 64

// journal turns entries of a journal into lines.
type journal struct {
	labels *labeler
	log    *slog.Logger
	parser fastjson.Parser
	// join has lines that journald or Docker cut put together. It is false for
	// files: a line that is only in memory must not be behind a checkpoint.
	join    bool
	sources map[unit]*source
	open    map[stream]*parts // by what writes the line
	cursor  []byte            // of the last entry
	entries int64             // so far
	at      time.Time         // of the last entry
	missing bool              // an entry without its message was reported
}

// unit is what wrote an entry.
type unit struct{ service, container string }

func newJournal(l *labeler, log *slog.Logger, join bool) *journal {
	return &journal{labels: l, log: log, join: join, sources: map[unit]*source{}, open: map[stream]*parts{}}
}

// entry adds the line of an entry.
func (j *journal) entry(raw []byte, to *joiner) error {
	v, err := j.parser.ParseBytes(raw)
	if err != nil {
		return eachPiece(raw, func(piece []byte) error { return to.add(piece, time.Time{}, j.source(unit{})) })
	}
	if j.join {
		to.here.offset, to.here.cursor = j.entries, append(to.here.cursor[:0], j.cursor...)
	}
	j.entries++
	j.cursor = append(j.cursor[:0], v.GetStringBytes("__CURSOR")...)
	text, ok := fieldBytes(v.Get("MESSAGE"))
	if !ok {
		if m := v.Get("MESSAGE"); m != nil && !j.missing {
			j.missing = true
			j.log.Warn("an entry of the journal came without its message, and isn't shipped: call journalctl with --all", "cursor", string(j.cursor))
		}
		return nil
	}
	var at time.Time
	if micros, err := strconv.ParseInt(string(v.GetStringBytes("__REALTIME_TIMESTAMP")), 10, 64); err == nil {
		at = time.UnixMicro(micros).UTC()
	}
	j.at = at
	from := j.source(unitOf(v))
	of, partial := partOf(v)
	if of.writer == "" { // a message by itself, see syslog(3) and sd_journal_send(3)
		return eachPiece(text, func(piece []byte) error { return to.add(piece, at, from) })
	}
	return j.part(of, partial && j.join, parts{text: text, at: at, from: from}, to)
}

// part takes a piece of a line, or a whole one of what sometimes writes pieces.
func (j *journal) part(of stream, partial bool, piece parts, to *joiner) error {
	p := j.open[of]
	if partial {
		if p == nil {
			if len(j.open) >= maxOpen {
				if err := j.flush(to, piece.at); err != nil {
					return err
				}
			}
			p = &parts{at: piece.at, from: piece.from, here: to.here.clone()}
			j.open[of] = p
		}
		p.text = append(p.text, piece.text...)
		return nil
	}
	if p != nil {
		delete(j.open, of)
		piece.text, piece.at, to.here = append(p.text, piece.text...), p.at, p.here
	}
	return j.add(of, piece, to)
}

func (j *journal) add(of stream, whole parts, to *joiner) error {
	return eachPiece(whole.text, func(piece []byte) error { return to.line(of, piece, whole.at, whole.from) })
}

// flush adds lines that began until then and have no end yet.
func (j *journal) flush(to *joiner, until time.Time) error {
	for of, p := range j.open {
		if p.at.After(until) {
			continue
		}
		delete(j.open, of)
		to.here = p.here
		if err := j.add(of, *p, to); err != nil {
			return err
		}
	}
	return nil
}

// partOf returns who writes the entry's line, if the entry is a line of what someone
// prints, and whether this line goes on: journald cuts what services print at LineMax
// (48 KiB), and Docker at 16 KiB. Docker and Podman give what containers print to
// standard error the priority err.
func partOf(v *fastjson.Value) (of stream, partial bool) {
	if id := v.GetStringBytes("CONTAINER_ID_FULL"); id != nil {
		of = stream{writer: string(id), stderr: string(v.GetStringBytes("PRIORITY")) == "3"}
		return of, string(v.GetStringBytes("CONTAINER_PARTIAL_MESSAGE")) == "true"
	}
	return stream{writer: string(v.GetStringBytes("_STREAM_ID"))}, string(v.GetStringBytes("_LINE_BREAK")) == "line-max"
}

// unitOf returns what wrote an entry, by the fields that journald vouches for: anyone
// may write CONTAINER_NAME and SYSLOG_IDENTIFIER (systemd.journal-fields, "Trusted
// journal fields").
func unitOf(v *fastjson.Value) unit {
	service := v.GetStringBytes("_SYSTEMD_USER_UNIT")
	if service == nil {
		service = v.GetStringBytes("_SYSTEMD_UNIT")
	}
	program := string(v.GetStringBytes("_COMM"))
	u := unit{service: string(service)}
	if slices.Contains(containerRuntimes, program) || u.service == "docker.service" {
		u.container = string(v.GetStringBytes("CONTAINER_NAME"))
	}
	if !strings.HasSuffix(u.service, ".service") || transientUnit.MatchString(u.service) {
		u.service = "" // a session, a container's scope, a systemd-run: named by a number
	}
	if u.container == "" && u.service == "" {
		u.container = program
	}
	return u
}

// containerRuntimes are the programs that write to the journal for containers.
var containerRuntimes = []string{"dockerd", "conmon", "podman"}

var transientUnit = regexp.MustCompile(`^run-[ru]?[0-9a-f-]+\.service$|^systemd-coredump@`)

// source returns the source of what a unit writes.
func (j *journal) source(u unit) *source {
	s := j.sources[u]
	if s == nil {
		container := u.container
		if container == "" {
			container = serviceName(u.service)
		}
		s = j.labels.source(map[string]string{containerLabel: container, unitLabel: u.service})
		j.sources[u] = s
	}
	return s
}

// serviceName is what a unit runs: restate for restate.service,
// restate@1.service and restate-server.service alike, because that is what the
// published queries ask for.
func serviceName(unit string) string {
	name := strings.TrimSuffix(unit, ".service")
	name, _, _ = strings.Cut(name, "@")
	if name == "restate-server" {
		return containerName
	}
	return name
}

// fieldBytes returns the first value of a field. ok is false when there is none.
func fieldBytes(v *fastjson.Value) (value []byte, ok bool) {
	if v == nil {
		return nil, false
	}
	switch v.Type() {
	case fastjson.TypeString:
		return v.GetStringBytes(), true
	case fastjson.TypeArray:
		values := v.GetArray()
		if len(values) > 0 && values[0].Type() != fastjson.TypeNumber {
			return fieldBytes(values[0])
		}
		value = make([]byte, len(values))
		for i, n := range values {
			value[i] = byte(n.GetUint())
		}
		return value, true
	default:
		return nil, false
	}
}
