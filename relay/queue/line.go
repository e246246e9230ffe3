package queue

import (
	"cmp"
	"slices"
	"time"
)

// line is the requests of one tenant that are not done with, in the order of
// their sequence numbers. The queue's mutex guards it.
type line struct {
	tenant  string
	entries []entry
	// sent of the entries are acknowledged by the engine, and kept.
	sent int
	// bytes are those of the entries, and those reserved by appends.
	bytes int64
	// delivering is true while a goroutine is at it.
	delivering bool
	// rewinds counts how often delivery was set back to the first entry.
	rewinds int
}

// entry is what is known about a record without reading it.
type entry struct {
	sequence uint64
	time     time.Time
	items    int
	at       location
	record   record // nil when it has to be read
}

func newEntry(r record, at location) entry {
	return entry{sequence: r.sequence(), time: r.time(), items: r.items(), at: at}
}

// order sorts the entries and keeps the last of equal ones.
func (l *line) order() {
	slices.SortStableFunc(l.entries, func(a, b entry) int { return cmp.Compare(a.sequence, b.sequence) })
	slices.Reverse(l.entries)
	l.entries = slices.CompactFunc(l.entries, func(a, b entry) bool { return a.sequence == b.sequence })
	slices.Reverse(l.entries)
}

// waitingSince is how long the first entry that isn't delivered has waited.
func (l *line) waitingSince(now time.Time) time.Duration {
	if l.sent == len(l.entries) || l.entries[l.sent].time.IsZero() { // or of version 1
		return 0
	}
	return now.Sub(l.entries[l.sent].time)
}

// find returns the place of a sequence number among the entries.
func (l *line) find(sequence uint64) (i int, ok bool) {
	return slices.BinarySearchFunc(l.entries, sequence, func(e entry, n uint64) int { return cmp.Compare(e.sequence, n) })
}

// Bounds of one delivery: what Loki takes at the lowest cost a line, and Tempo a
// span (docs/engines.md). A request that is larger goes alone.
const (
	batchItems = 1000
	batchBytes = 1 << 20
)

// batch returns the next entries to deliver together, at least one if any waits
// and only one unless they may be joined.
func (l *line) batch(join bool) []entry {
	waiting := l.entries[l.sent:]
	items, bytes, n := 0, 0, 0
	for n < len(waiting) {
		e := waiting[n]
		if n > 0 && (!join || items+e.items > batchItems || bytes+e.at.size > batchBytes) {
			break
		}
		items += e.items
		bytes += e.at.size
		n++
	}
	return slices.Clone(waiting[:n])
}

// rewind has everything that was sent and not let go delivered again.
func (l *line) rewind() {
	l.sent = 0
	l.rewinds++
}
