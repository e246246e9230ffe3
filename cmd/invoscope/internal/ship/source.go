package ship

import (
	"fmt"
	"time"

	"github.com/invoscope/invoscope/correlate"
)

// source is where lines come from: standard input or one file.
type source struct {
	name string
	unit string    // of positions: line (from 1) or byte (offset)
	last time.Time // of the line before, if it had one or followed one that had
	read time.Time // when that line was read
}

func newStdin() *source           { return &source{name: "standard input", unit: "line"} }
func newFile(path string) *source { return &source{name: path, unit: "byte"} }

// sameRecord is how soon after a line one without a time is taken to continue it.
const sameRecord = time.Second

// date returns the time of the source's next line, which was read at now: what
// it says, or else a nanosecond after the line that it continues, or else now.
// Loki keeps one of several entries that are equal in time and text; a stack
// trace may repeat a line.
func (s *source) date(line string, now time.Time) time.Time {
	t, ok := correlate.Timestamp(line)
	switch {
	case ok:
		s.last = t
	case !s.last.IsZero() && now.Sub(s.read) <= sameRecord:
		s.last = s.last.Add(time.Nanosecond)
	default: // the start, or a program that prints some lines without a time
		s.last = time.Time{}
		return now
	}
	s.read = now
	return s.last
}

// origin says where a line was read, to name it in a message.
type origin struct {
	source *source
	at     int64 // in the source's unit
}

func (o origin) String() string {
	return fmt.Sprintf("%s, %s %d", o.source.name, o.source.unit, o.at)
}
