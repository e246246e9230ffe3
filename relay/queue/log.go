package queue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

const (
	// segmentBytes is the most that wlog may put into a file. Rotation happens at
	// rotateBytes, by us and synced: when wlog rotates by itself it syncs the old
	// segment in the background, after we would have acknowledged. Between the
	// two there is room for the largest batch that one commit writes.
	segmentBytes = 128 << 20
	rotateBytes  = 16 << 20
	commitBytes  = 64 << 20
)

// segmentLog is the write-ahead log with its segments counted, so that a segment
// goes when nothing in it is needed any more. One goroutine writes; any may read
// and let go.
type segmentLog struct {
	wal     *wlog.WL
	damaged string // where copies of damaged segments are kept
	sync    bool   // each write, before it returns
	rotate  int64  // the size from which a segment is ended

	truncating sync.Mutex // held while segments are removed, before mu

	mu      sync.Mutex
	active  int         // the segment that is written to
	offset  int64       // where in it
	failed  bool        // the active segment may end in a part of a record
	oldest  int         // the first segment that may still be on disk
	needed  map[int]int // segment → records in it that are needed
	lengths map[int]int64
	total   int64 // of lengths
}

// openLog reads what is in dir, hands each record to replay, and opens a new
// segment for writing. A segment that is torn or damaged is read up to the damage,
// and never keeps the later ones from being read; of a damaged one a copy is kept in
// the directory damaged. A segment that can't be read is an error.
func openLog(dir, damaged string, log *slog.Logger, replay func(record, location)) (_ *segmentLog, err error) {
	wal, err := wlog.NewSize(log, nil, dir, segmentBytes, compression.None)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	defer func() {
		if err != nil {
			closeQuietly(wal)
		}
	}()
	first, last, err := wlog.Segments(dir)
	if err != nil {
		return nil, fmt.Errorf("list the log's segments: %w", err)
	}
	l := &segmentLog{wal: wal, damaged: damaged, sync: true, rotate: rotateBytes, active: last, oldest: first, needed: map[int]int{}, lengths: map[int]int64{}}
	for i := first; i < last; i++ {
		end, err := l.readSegment(i, replay)
		if err != nil && !isDamage(err) {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if err != nil {
			l.reportDamage(log, i, end, err)
		}
	}
	return l, nil
}

// reportDamage tells of a segment that is damaged behind offset. What stands behind a
// torn tail nobody was told was stored: the process was killed while it wrote. If a
// record begins behind the damage, it is of something else, and a copy is kept.
func (l *segmentLog) reportDamage(log *slog.Logger, segment int, offset int64, damage error) {
	more, err := recordBegins(l.file(segment), offset)
	if err == nil && !more {
		log.Info("a segment of the queue's log ends in a part of a record that was never acknowledged", "segment", l.file(segment))
		return
	}
	if kept := l.keepDamaged(segment); kept != nil {
		damage = errors.Join(damage, kept)
	}
	log.Error("a segment of the queue's log is damaged; what stands before the damage is delivered, what stands behind is not, and a copy is kept",
		"segment", l.file(segment), "offset", offset, "copies", l.damaged, "err", damage)
}

func (l *segmentLog) file(segment int) string { return wlog.SegmentName(l.wal.Dir(), segment) }

// isDamage tells damaged bytes from bytes that could not be read: wlog wraps both
// in a CorruptionErr.
func isDamage(err error) bool {
	var corruption *wlog.CorruptionErr
	var errno syscall.Errno
	return errors.As(err, &corruption) && !errors.As(err, &errno)
}

// maxDamaged bounds the copies of damaged segments.
const maxDamaged = 16

// keepDamaged links a segment into another directory, since it is removed from
// the log when what could be read of it is delivered.
func (l *segmentLog) keepDamaged(segment int) error {
	if err := os.MkdirAll(l.damaged, 0o700); err != nil {
		return fmt.Errorf("keep a damaged segment: %w", err)
	}
	copies, err := os.ReadDir(l.damaged)
	if err != nil {
		return fmt.Errorf("keep a damaged segment: %w", err)
	}
	if len(copies) >= maxDamaged {
		return fmt.Errorf("keep a damaged segment: %d are kept already", len(copies))
	}
	file := l.file(segment)
	err = os.Link(file, filepath.Join(l.damaged, filepath.Base(file)))
	if err != nil && !errors.Is(err, fs.ErrExist) { // kept before: numbers aren't used again
		return fmt.Errorf("keep a damaged segment: %w", err)
	}
	return nil
}

// readSegment hands a segment's records to replay and returns where the next would
// begin.
func (l *segmentLog) readSegment(i int, replay func(record, location)) (end int64, err error) {
	segment, err := wlog.OpenReadSegment(l.file(i))
	if err != nil {
		return 0, err
	}
	src := wlog.NewSegmentBufReader(segment)
	defer closeQuietly(src)
	if info, err := segment.Stat(); err == nil {
		l.setLength(i, info.Size())
	}
	reader := wlog.NewReader(src)
	for ; reader.Next(); end = begin(reader.Offset()) {
		r, err := parseRecord(reader.Record())
		if err != nil {
			return end, err
		}
		replay(r, location{segment: i, offset: end, size: len(r)})
	}
	return end, reader.Err()
}

// closeQuietly closes what was only read from: there is nothing to lose.
func closeQuietly(c io.Closer) { _ = c.Close() }

// write appends the records, syncs them to disk, and returns where they stand;
// they count as needed. After an error none of them counts as written, and a new
// segment is begun, because wlog may have left part of a record in the old one.
func (l *segmentLog) write(records []record) ([]location, error) {
	if err := l.rotateWhenDue(); err != nil {
		return nil, err
	}
	raws := make([][]byte, len(records))
	places := make([]location, len(records))
	offset := l.offset // written by this goroutine only
	for i, r := range records {
		raws[i] = r
		places[i] = location{segment: l.active, offset: offset, size: len(r)}
		offset = after(offset, len(r))
	}
	err := l.wal.Log(raws...)
	if err == nil && l.sync {
		err = l.wal.Sync()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offset, l.failed = offset, err != nil
	l.setLength(l.active, offset)
	if err != nil {
		return nil, fmt.Errorf("write to the log: %w", err)
	}
	l.needed[l.active] += len(records)
	return places, nil
}

// rotateWhenDue begins a new segment when the active one is large enough, or may
// be broken.
func (l *segmentLog) rotateWhenDue() error {
	if l.offset < l.rotate && !l.failed {
		return nil
	}
	next, err := l.wal.NextSegmentSync()
	if err != nil {
		return fmt.Errorf("begin a new segment of the log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active, l.offset, l.failed = next, 0, false
	return nil
}

// read reads a record back.
func (l *segmentLog) read(at location) (record, error) { return at.read(l.file(at.segment)) }

// size is how many bytes the log takes on disk.
func (l *segmentLog) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

func (l *segmentLog) setLength(segment int, n int64) {
	l.total += n - l.lengths[segment]
	l.lengths[segment] = n
}

// oldestSegment returns the segment that keeps the log from getting shorter; ok
// is false when that is the one being written to.
func (l *segmentLog) oldestSegment() (segment int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.oldest, l.oldest < l.active
}

// need counts a record that was read back.
func (l *segmentLog) need(segment int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.needed[segment]++
}

// letGo takes n records out of their segment's count and removes the segments in
// which nothing is needed any more, from the oldest on.
func (l *segmentLog) letGo(segment, n int) error {
	l.mu.Lock()
	l.needed[segment] -= n
	useless := l.oldest < l.active && l.needed[l.oldest] == 0
	l.mu.Unlock()
	if !useless {
		return nil
	}
	return l.truncate()
}

// truncate removes the segments that are not needed. Files are removed without the
// lock that appends wait for.
func (l *segmentLog) truncate() error {
	l.truncating.Lock()
	defer l.truncating.Unlock()
	l.mu.Lock()
	keep := l.oldest
	for keep < l.active && l.needed[keep] == 0 {
		keep++
	}
	first := l.oldest
	l.mu.Unlock()
	if keep == first {
		return nil
	}
	if err := l.wal.Truncate(keep); err != nil {
		return fmt.Errorf("remove delivered segments: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; l.oldest < keep; l.oldest++ {
		l.setLength(l.oldest, 0)
		delete(l.needed, l.oldest)
		delete(l.lengths, l.oldest)
	}
	return nil
}
