package ship

import (
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/invoscope/invoscope/correlate"
)

// source is where lines of one stream come from: standard input, one file, or
// one unit of a journal.
type source struct {
	labels   string              // of the stream, as Loki writes them
	metadata []push.LabelAdapter // structured metadata of each entry
	last     time.Time           // of the line before, if it had one or followed one that had
	read     time.Time           // when that line was read
}

// sameRecord is how soon after a line one without a time is taken to continue it.
const sameRecord = time.Second

// date returns the time of the source's next line, which was read at now: what
// it says, or else when a runtime took it (at, zero if none did), or else a
// nanosecond after the line that it continues, or else now.
func (s *source) date(line string, at, now time.Time) time.Time {
	t, ok := correlate.Timestamp(line)
	switch {
	case ok:
		s.last = t
	case !at.IsZero():
		s.last = s.after(at)
	case !s.last.IsZero() && now.Sub(s.read) <= sameRecord:
		s.last = s.last.Add(time.Nanosecond)
	default: // the start, or a program that prints some lines without a time
		s.last = time.Time{}
		return now
	}
	s.read = now
	return s.last
}

// after keeps lines apart that a runtime took within the same microsecond, which
// is as fine as journald's clock: Loki keeps one of several entries that are
// equal in time and text, and a stack trace may repeat a line.
func (s *source) after(at time.Time) time.Time {
	if behind := s.last.Sub(at); behind >= 0 && behind < time.Microsecond {
		return s.last.Add(time.Nanosecond)
	}
	return at
}
