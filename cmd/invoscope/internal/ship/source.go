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
	last time.Time // of the line before, once one had a time
}

func newStdin() *source           { return &source{name: "standard input", unit: "line"} }
func newFile(path string) *source { return &source{name: path, unit: "byte"} }

// date returns the time of the source's next line: what it says, or else a
// nanosecond after the line before it, or else now. Loki keeps one of several
// entries that are equal in time and text; a stack trace may repeat a line.
func (s *source) date(line string, now time.Time) time.Time {
	if t, ok := correlate.Timestamp(line); ok {
		s.last = t
		return t
	}
	if s.last.IsZero() {
		return now
	}
	s.last = s.last.Add(time.Nanosecond)
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
