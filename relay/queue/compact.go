package queue

import "errors"

// spareSegments is how many segments' worth of bytes that nobody needs the log may
// hold before it is compacted.
const spareSegments = 4

// compact copies what is still needed of the oldest segment to the log's end, so
// that it can be removed: a tenant that isn't delivered would otherwise keep
// everybody's segments. It does nothing until more than half of the log, and more
// than some segments, is no longer needed, so on average a byte is copied once.
func (q *Queue) compact() error {
	q.mu.Lock()
	needed := q.bytes
	q.mu.Unlock()
	if unneeded := q.log.size() - needed; unneeded <= max(needed, spareSegments*q.log.rotate) {
		return nil
	}
	oldest, ok := q.log.oldestSegment()
	if !ok {
		return nil
	}
	return q.relocate(q.entriesIn(oldest, relocateAtOnce))
}

// relocateAtOnce bounds the records that one step copies, since appends wait for it.
const relocateAtOnce = 2000

// placed is an entry of a line.
type placed struct {
	line  *line
	entry entry
}

// entriesIn returns some of the entries in a segment.
func (q *Queue) entriesIn(segment, most int) []placed {
	q.mu.Lock()
	defer q.mu.Unlock()
	var found []placed
	for _, l := range q.lines {
		for _, e := range l.entries {
			if e.at.segment != segment {
				continue
			}
			if found = append(found, placed{l, e}); len(found) == most {
				return found
			}
		}
	}
	return found
}

// relocate writes entries again, at the log's end. Of a damaged one that is a record
// without a body: nothing is delivered of it, and it doesn't keep its segment.
func (q *Queue) relocate(found []placed) error {
	if len(found) == 0 {
		return nil
	}
	records := make([]record, 0, len(found))
	for _, p := range found {
		r := p.entry.record
		if r == nil {
			var err error
			if r, err = q.log.read(p.entry.at); errors.Is(err, errDamaged) {
				q.foundDamaged(p.line, p.entry)
				r = newRecord(p.line.tenant, p.entry.time, Request{Items: p.entry.items})
				r.setSequence(p.entry.sequence)
			} else if err != nil {
				return err
			}
		}
		records = append(records, r)
	}
	places, err := q.log.write(records)
	if err != nil {
		return err
	}
	q.metrics.relocated.Add(float64(len(records)))
	unneeded := map[int]int{}
	q.mu.Lock()
	for i, p := range found {
		if at, ok := p.line.find(p.entry.sequence); ok {
			p.line.entries[at].at = places[i]
			less := int64(p.entry.at.size - places[i].size) // of a damaged one
			q.bytes, p.line.bytes = q.bytes-less, p.line.bytes-less
			q.metrics.pendingBytes.Sub(float64(less))
			unneeded[p.entry.at.segment]++
		} else { // delivered meanwhile
			unneeded[places[i].segment]++
		}
	}
	q.mu.Unlock()
	var errs []error
	for segment, n := range unneeded {
		errs = append(errs, q.log.letGo(segment, n))
	}
	return errors.Join(errs...)
}
