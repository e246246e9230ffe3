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
	return q.relocate(q.entriesIn(oldest))
}

// placed is an entry of a line.
type placed struct {
	line  *line
	entry entry
}

func (q *Queue) entriesIn(segment int) []placed {
	q.mu.Lock()
	defer q.mu.Unlock()
	var found []placed
	for _, l := range q.lines {
		for _, e := range l.entries {
			if e.at.segment == segment {
				found = append(found, placed{l, e})
			}
		}
	}
	return found
}

// relocate writes entries again, at the log's end. A damaged one stays where it is
// until its delivery finds out.
func (q *Queue) relocate(found []placed) error {
	var moved []placed
	var records []record
	for _, p := range found {
		r := p.entry.record
		if r == nil {
			var err error
			if r, err = q.log.read(p.entry.at); errors.Is(err, errDamaged) {
				continue
			} else if err != nil {
				return err
			}
		}
		moved, records = append(moved, p), append(records, r)
	}
	if len(records) == 0 {
		return nil
	}
	places, err := q.log.write(records)
	if err != nil {
		return err
	}
	q.metrics.relocated.Add(float64(len(records)))
	unneeded := map[int]int{}
	q.mu.Lock()
	for i, p := range moved {
		if at, ok := p.line.find(p.entry.sequence); ok {
			p.line.entries[at].at = places[i]
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
