package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/prometheus/tsdb/wlog"
)

// repairLokiLog cuts off what is torn at the end of the segments of Loki's
// write-ahead log. Loki writes a record page by page, so a kill or a full disk leaves
// part of one; when it starts it reads up to the first such part, says nothing, and
// leaves all later segments out, at every start until its next checkpoint
// (pkg/ingester/recovery.go, recoverGeneric: the reader's error isn't looked at after
// its loop). It must run while Loki doesn't.
func repairLokiLog(dataDir string, _ time.Duration) (repaired []string, err error) {
	// wlog names a segment by a number of eight digits.
	segments, err := filepath.Glob(filepath.Join(dataDir, "wal", strings.Repeat("[0-9]", 8)))
	if err != nil {
		return nil, fmt.Errorf("list the segments of Loki's log: %w", err)
	}
	for _, path := range segments {
		torn, err := cutTornTail(path)
		if err != nil {
			return repaired, fmt.Errorf("repair Loki's log: %w", err)
		}
		if torn {
			repaired = append(repaired, path)
		}
	}
	return repaired, nil
}

func cutTornTail(path string) (torn bool, err error) {
	segment, err := wlog.OpenReadSegment(path)
	if err != nil {
		return false, err
	}
	src := wlog.NewSegmentBufReader(segment)
	defer src.Close()
	reader := wlog.NewReader(src)
	var end int64
	for reader.Next() {
		end = reader.Offset()
	}
	var unreadable syscall.Errno
	if err := reader.Err(); err == nil {
		return false, nil
	} else if errors.As(err, &unreadable) {
		return false, err // not what was written wrong, but what can't be read
	}
	return true, os.Truncate(path, end)
}
