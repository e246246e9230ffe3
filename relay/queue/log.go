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
	// segmentBytes is the size of the log's files. Rotation happens at
	// rotateBytes, by us and synced: when wlog rotates by itself it syncs the old
	// segment in the background, after we would have acknowledged. Between the
	// two there is room for the largest batch that one commit writes.
	segmentBytes = 128 << 20
	rotateBytes  = 16 << 20
	commitBytes  = 64 << 20
)

// segmentLog is the write-ahead log with its segments counted, so that a segment
// goes when its last record was delivered. One goroutine writes; any may report
// a delivery.
type segmentLog struct {
	wal     *wlog.WL
	written int // bytes written to the active segment

	mu      sync.Mutex
	active  int         // the segment that is written to
	pending map[int]int // segment → records that wait in it
	oldest  int         // the first segment that may still be on disk
}

// openLog reads what is in dir, hands each record to replay, and opens a new
// segment for writing. A segment that is torn or damaged is read up to the
// damage, never keeps the later ones from being read, and is kept in the
// directory damaged. A segment that can't be read is an error.
func openLog(dir, damaged string, log *slog.Logger, replay func(record) (keep bool)) (_ *segmentLog, err error) {
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
	l := &segmentLog{wal: wal, active: last, pending: map[int]int{}, oldest: first}
	for i := first; i < last; i++ {
		if err := l.readSegment(i, replay); err != nil {
			if !isDamage(err) {
				return nil, fmt.Errorf("read the log: %w", err)
			}
			if err := keepDamaged(wlog.SegmentName(dir, i), damaged); err != nil {
				return nil, err
			}
			log.Warn("a segment of the queue's log is damaged; what stands before the damage is delivered, and a copy is kept",
				"segment", wlog.SegmentName(dir, i), "copies", damaged, "err", err)
		}
	}
	return l, l.truncate()
}

// isDamage tells damaged bytes from bytes that could not be read: wlog wraps both
// in a CorruptionErr.
func isDamage(err error) bool {
	var corruption *wlog.CorruptionErr
	var errno syscall.Errno
	return errors.As(err, &corruption) && !errors.As(err, &errno)
}

// keepDamaged links a segment into another directory, since it is removed from
// the log when what could be read of it is delivered.
func keepDamaged(segment, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep a damaged segment: %w", err)
	}
	err := os.Link(segment, filepath.Join(dir, filepath.Base(segment)))
	if err != nil && !errors.Is(err, fs.ErrExist) { // an earlier start kept it: numbers aren't used again
		return fmt.Errorf("keep a damaged segment: %w", err)
	}
	return nil
}

func (l *segmentLog) readSegment(i int, replay func(record) bool) error {
	segment, err := wlog.OpenReadSegment(wlog.SegmentName(l.wal.Dir(), i))
	if err != nil {
		return err
	}
	src := wlog.NewSegmentBufReader(segment)
	defer closeQuietly(src)
	reader := wlog.NewReader(src)
	for reader.Next() {
		raw := append([]byte(nil), reader.Record()...)
		rec, err := parseRecord(raw)
		if err != nil {
			return err
		}
		rec.segment = i
		if replay(rec) {
			l.pending[i]++
		}
	}
	return reader.Err()
}

// closeQuietly closes what was only read from: there is nothing to lose.
func closeQuietly(c io.Closer) { _ = c.Close() }

// write appends the records and syncs them to disk. After an error none of them
// counts as written, and a new segment is begun, because wlog may have left part
// of a record in the old one.
func (l *segmentLog) write(recs []record) error {
	if l.written >= rotateBytes {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	raws := make([][]byte, len(recs))
	for i := range recs {
		recs[i].segment = l.active
		raws[i] = recs[i].raw
		l.written += len(recs[i].raw)
	}
	l.count(l.active, len(recs)) // before the write: a delivery can't overtake it
	err := l.wal.Log(raws...)
	if err == nil {
		err = l.wal.Sync()
	}
	if err != nil {
		l.count(l.active, -len(recs))
		l.written = rotateBytes
		return fmt.Errorf("write to the log: %w", err)
	}
	return nil
}

func (l *segmentLog) count(segment, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending[segment] += n
}

func (l *segmentLog) rotate() error {
	next, err := l.wal.NextSegmentSync()
	if err != nil {
		return fmt.Errorf("begin a new segment of the log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active, l.written = next, 0
	return nil
}

// size is about how many bytes the log takes on disk: a segment counts as the
// size at which it is ended.
func (l *segmentLog) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(l.active-l.oldest) * rotateBytes
}

// delivered takes one record out of its segment's count and removes the segments
// that nothing waits in any more.
func (l *segmentLog) delivered(segment int) error {
	l.count(segment, -1)
	return l.truncate()
}

func (l *segmentLog) truncate() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	keep := l.oldest
	for keep < l.active && l.pending[keep] == 0 {
		delete(l.pending, keep)
		keep++
	}
	if keep == l.oldest {
		return nil
	}
	if err := l.wal.Truncate(keep); err != nil {
		return fmt.Errorf("remove delivered segments: %w", err)
	}
	l.oldest = keep
	return nil
}
