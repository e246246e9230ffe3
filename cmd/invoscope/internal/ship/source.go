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
	last time.Time // of the latest line with a time
}

func newStdin() *source           { return &source{name: "standard input", unit: "line"} }
func newFile(path string) *source { return &source{name: path, unit: "byte"} }

// date returns the time of the source's next line: what it says, or else the
// time of the line before it, or else now.
func (s *source) date(line string, now time.Time) time.Time {
	if t, ok := correlate.Timestamp(line); ok {
		s.last = t
	}
	if s.last.IsZero() {
		return now
	}
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
