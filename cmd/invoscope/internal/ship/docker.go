package ship

import (
	"bytes"
	"time"

	"github.com/valyala/fastjson"
)

// A line of Docker's json-file driver (daemon/logger/jsonfilelog/jsonlog). What
// was written ends with a newline unless it goes on in the next line of its
// stream; Docker cuts at 16 KiB. attrs is there if the driver was told to add
// labels, environment variables or a tag.
//
//	{"log":"text\n","stream":"stdout","attrs":{"tag":"restate"},"time":"2016-10-06T00:17:09.669794202Z"}

// cutDocker cuts off what stands before the text of a line of Docker. Docker
// writes no spaces; who imitates it may.
func cutDocker(line []byte) (rest []byte, ok bool) {
	if rest, ok = bytes.CutPrefix(line, []byte(`{"log":`)); !ok {
		return nil, false
	}
	return bytes.CutPrefix(bytes.TrimLeft(rest, " "), []byte{'"'})
}

// dockerPart tells of a line for which cutDocker holds to which stream it belongs,
// and whether it goes on.
func dockerPart(line []byte) (stderr, partial bool) {
	rest, _ := cutDocker(line)
	end := jsonStringEnd(rest)
	next := rest[end:min(len(rest), end+len(`", "stream": "stderr"`))]
	// What only begins like a line of Docker, as other JSON logs do, never goes on.
	return bytes.Contains(next, []byte(`"stderr"`)), bytes.Contains(next, []byte(`"stream"`)) && !endsInNewline(rest[:end])
}

// jsonStringEnd returns the place of the quote that ends the string at the
// beginning of s, or the length of s.
func jsonStringEnd(s []byte) int {
	for pos := 0; ; pos++ {
		i := bytes.IndexByte(s[pos:], '"')
		if i < 0 {
			return len(s)
		}
		pos += i
		if backslashes(s[:pos])%2 == 0 {
			return pos
		}
	}
}

// endsInNewline reports whether a JSON string ends with an escaped newline.
func endsInNewline(s []byte) bool {
	return bytes.HasSuffix(s, []byte(`\n`)) && backslashes(s[:len(s)-1])%2 == 1
}

// backslashes counts those at the end of s.
func backslashes(s []byte) int {
	return len(s) - len(bytes.TrimRight(s, `\`))
}

// dockerLine is one parsed line.
type dockerLine struct {
	text   []byte
	at     time.Time
	stderr bool
	attrs  *fastjson.Object // or nil
}

// parseDocker needs its own parser for each line whose result is in use. ok is
// false for what only begins like a line of Docker.
func parseDocker(p *fastjson.Parser, line []byte) (l dockerLine, ok bool) {
	v, err := p.ParseBytes(line)
	if err != nil {
		return l, false
	}
	stream, stamp := v.GetStringBytes("stream"), v.GetStringBytes("time")
	if stream == nil || stamp == nil {
		return l, false
	}
	l.text, l.stderr, l.attrs = v.GetStringBytes("log"), string(stream) == "stderr", v.GetObject("attrs")
	if at, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil {
		l.at = at
	}
	return l, true
}
