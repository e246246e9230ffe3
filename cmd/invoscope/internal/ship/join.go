package ship

import (
	"slices"
	"sync"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/invoscope/invoscope/correlate"
)

// DefaultMultilineWait is how long a record waits for its next line. A program
// writes the lines of a record at once; what lies between them is how ship comes to
// read them, such as the 200 ms between two looks at a file.
const DefaultMultilineWait = 500 * time.Millisecond

// Bounds of a record; what comes behind the first one reached is an entry of its own.
const (
	maxEntryLines = 1000
	// waitTicks is in how many parts the wait for a line is counted: it may last one
	// part longer. To ask for the time at each line would cost more than to join it.
	waitTicks = 4
	// maxEntryWaits is how many times the wait for one line a record may last in
	// all: a program that goes on printing lines which begin nothing must not keep
	// them from sight.
	maxEntryWaits = 10
	// maxOpenEntries is how many records one joiner has open. Only in a journal there
	// are more than two streams.
	maxOpenEntries = 64
	// keepText is the largest buffer that is kept for the next record.
	keepText = 16 << 10
)

// addFunc takes an entry, whose bytes the caller may reuse afterwards. An error
// means that it takes no more.
type addFunc func(entry []byte, at time.Time, from *source) error

// stream names what one writer writes, among that which comes through a joiner.
type stream struct {
	writer string // in a journal, where there are many
	stderr bool   // of a container
}

// place is where reading must begin again for a line to come once more.
type place struct {
	offset int64  // in a file, or how many entries of the journal came before
	cursor []byte // of the journal's entry before
}

// clone keeps p.
func (p place) clone() place { return place{offset: p.offset, cursor: slices.Clone(p.cursor)} }

// entry is one to which further lines may come.
type entry struct {
	of          stream
	from        *source
	at          time.Time // when a runtime took its first line
	text        []byte
	lines       int
	begun       bool  // its first line begins a record, so any other continues it
	first, last int   // the joiner's ticks when these lines came
	place       place // of its first line
}

// joiner makes one entry of the lines of a record, joined by LF. A line that is a
// whole JSON object is an entry at once; any other waits for the line that begins
// the next record of its stream, but not for longer than wait.
//
// A line that doesn't begin a record, and that none was open for, may be of a
// program whose records look like nothing we know. It is taken for a record too, but
// only lines that are indented continue it.
type joiner struct {
	add  addFunc
	wait time.Duration // 0 joins nothing

	mu      sync.Mutex // also guards the unwrapper that feeds the joiner
	here    place      // of the line that comes
	open    []*entry   // in the order in which they began
	spare   []*entry
	timer   *time.Timer
	ticking bool
	ticks   int
}

// line takes a line of at most maxLine bytes.
func (j *joiner) line(of stream, text []byte, at time.Time, from *source) error {
	if j.wait == 0 {
		return j.add(text, at, from)
	}
	begins := begins(text)
	begun := begins
	if i := j.find(of); i >= 0 {
		e := j.open[i]
		continues := !begins && (e.begun || isIndented(text))
		if continues && e.fits(text) {
			e.text = append(append(e.text, '\n'), text...)
			e.lines++
			e.last = j.ticks
			return nil
		}
		begun = begins || continues && e.begun
		if err := j.close(i); err != nil {
			return err
		}
	}
	if begins && isObject(text) {
		return j.add(text, at, from)
	}
	return j.begin(entry{of: of, from: from, at: at, begun: begun}, text)
}

// begin opens a record with its first line.
func (j *joiner) begin(as entry, text []byte) error {
	if len(j.open) == maxOpenEntries {
		if err := j.close(0); err != nil {
			return err
		}
	}
	var e *entry
	if n := len(j.spare); n > 0 {
		e, j.spare = j.spare[n-1], j.spare[:n-1]
	} else {
		e = &entry{}
	}
	as.text = append(e.text[:0], text...)
	as.place = place{offset: j.here.offset, cursor: append(e.place.cursor[:0], j.here.cursor...)}
	as.lines, as.first, as.last = 1, j.ticks, j.ticks
	*e = as
	j.open = append(j.open, e)
	j.tick()
	return nil
}

// close adds the open record at i.
func (j *joiner) close(i int) error {
	e := j.open[i]
	j.open = slices.Delete(j.open, i, i+1)
	err := j.add(e.text, e.at, e.from)
	if cap(e.text) > keepText {
		e.text = nil
	}
	if len(j.spare) < maxOpenEntries {
		j.spare = append(j.spare, e)
	}
	return err
}

// flush adds all open records.
func (j *joiner) flush() error {
	for len(j.open) > 0 {
		if err := j.close(0); err != nil {
			return err
		}
	}
	return nil
}

// end adds all open records, and joins nothing from now on.
func (j *joiner) end() error {
	j.wait = 0
	if j.timer != nil {
		j.timer.Stop()
	}
	return j.flush()
}

// tick has expire look at what waits, a part of the wait from now.
func (j *joiner) tick() {
	switch {
	case j.ticking:
		return
	case j.timer == nil:
		j.timer = time.AfterFunc(j.wait/waitTicks, j.expire)
	default:
		j.timer.Reset(j.wait / waitTicks)
	}
	j.ticking = true
}

// expire adds the entries that waited long enough. That they can't be added has
// failed the batcher, whose end tells why.
func (j *joiner) expire() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ticking = false
	j.ticks++
	for i := 0; i < len(j.open); {
		e := j.open[i]
		if j.ticks-e.last <= waitTicks && j.ticks-e.first <= maxEntryWaits*waitTicks {
			i++
		} else if j.close(i) != nil {
			return
		}
	}
	if len(j.open) > 0 {
		j.tick()
	}
}

// earliest returns the place of the first line that isn't added yet, if there is one.
func (j *joiner) earliest() (place, bool) {
	if len(j.open) == 0 {
		return place{}, false
	}
	// The order of a journal's lines is that of their last parts.
	return slices.MinFunc(j.open, func(a, b *entry) int { return int(a.place.offset - b.place.offset) }).place, true
}

// find returns the place of a stream's open record, or -1.
func (j *joiner) find(of stream) int {
	for i, e := range j.open {
		if e.of == of {
			return i
		}
	}
	return -1
}

// fits reports whether a record may grow by a line. One that is about as long as an
// entry may be is the beginning of a longer line that was cut.
func (e *entry) fits(line []byte) bool {
	return e.lines < maxEntryLines && len(e.text) <= maxLine-utf8.UTFMax && len(e.text)+1+len(line) <= maxLine
}

// begins reports whether a line begins a record, without a copy of it.
func begins(line []byte) bool {
	line = line[:min(len(line), correlate.BeginsBytes)]
	return correlate.Begins(unsafe.String(unsafe.SliceData(line), len(line)))
}

// isObject reports whether a line that begins as JSON also ends as such. No line
// continues it.
func isObject(line []byte) bool {
	return line[0] == '{' && line[len(line)-1] == '}'
}

// isIndented reports whether a line belongs to the one before it by its looks: it is
// indented, as in a stack trace, or empty, or closes what a line before it opened.
func isIndented(line []byte) bool {
	return len(line) == 0 || line[0] == ' ' || line[0] == '\t' || line[0] == '}'
}
