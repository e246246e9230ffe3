package engine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-logfmt/logfmt"
)

const (
	// lastLines is how many lines of a child are kept to explain its death.
	lastLines = 20
	// lastLineBytes bounds each of them.
	lastLineBytes = 500
	// maxLogLine bounds the memory for one line; a longer one becomes several records.
	maxLogLine = 1 << 20
)

// childLog turns a child's log lines into ours. What the engine calls debug or
// info is debug to us: the daemon's own log is not the place to watch two
// databases work.
type childLog struct {
	log      *slog.Logger
	harmless []string // messages that are no cause for a warning
	// stopping is set when the child was told to end: both engines then report
	// their own cancelled work as errors.
	stopping atomic.Bool
	// isSaved recognises the line by which a stopping child tells that all it held
	// is on disk; saved is closed at it. Nil when there is no such line.
	isSaved func(logRecord) bool
	saved   chan struct{}
	// isLosing recognises the line by which a child tells that what it acknowledged
	// didn't get to its disk; losing is closed at it. Nil when there is no such line.
	isLosing func(logRecord) bool
	losing   chan struct{}

	mu   sync.Mutex
	last []string
}

func newChildLog(log *slog.Logger, k kind) *childLog {
	return &childLog{log: log, harmless: k.harmless, isSaved: k.isSaved, saved: make(chan struct{}), isLosing: k.isLosing, losing: make(chan struct{})}
}

// copy reads lines until r ends. It never stops reading for the sake of a line.
func (c *childLog) copy(r io.Reader) {
	in := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) && len(line) < maxLogLine {
			continue
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			c.line(line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
		line = line[:0]
	}
}

func (c *childLog) line(line []byte) {
	c.remember(line)
	rec := parseLine(line)
	if c.stopping.Load() && c.isSaved != nil && c.isSaved(rec) {
		c.isSaved = nil // only the reading goroutine looks at it
		close(c.saved)
	}
	if c.isLosing != nil && c.isLosing(rec) {
		c.isLosing = nil
		close(c.losing)
	}
	level := rec.level
	if level < slog.LevelWarn || c.stopping.Load() || c.isHarmless(rec.msg) {
		level = slog.LevelDebug
	}
	c.log.LogAttrs(context.Background(), level, rec.msg, rec.attrs...)
}

func (c *childLog) isHarmless(msg string) bool {
	for _, known := range c.harmless {
		if msg == known {
			return true
		}
	}
	return false
}

func (c *childLog) remember(line []byte) {
	text := string(line[:min(len(line), lastLineBytes)])
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.last) == lastLines {
		c.last = append(c.last[:0], c.last[1:]...)
	}
	c.last = append(c.last, strings.ToValidUTF8(text, "\uFFFD"))
}

// lines are the last ones the child wrote.
func (c *childLog) lines() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.last, "\n")
}

// logRecord is what a line says.
type logRecord struct {
	level slog.Level
	msg   string
	attrs []slog.Attr
}

// parseLine reads a logfmt line. A line without a level isn't one of the
// engine's log but, say, a panic: it is a warning as it stands. The child's
// clock is ours, so its timestamp is left out.
func parseLine(line []byte) logRecord {
	rec := logRecord{level: slog.LevelWarn}
	known := false
	dec := logfmt.NewDecoder(bytes.NewReader(line))
	for dec.ScanRecord() {
		for dec.ScanKeyval() {
			key, value := string(dec.Key()), string(dec.Value())
			switch key {
			case "level", "lvl":
				rec.level, known = parseLevel(value)
			case "msg":
				rec.msg = value
			case "ts", "time":
			default:
				rec.attrs = append(rec.attrs, slog.String(key, value))
			}
		}
	}
	if dec.Err() != nil || !known {
		return logRecord{level: slog.LevelWarn, msg: strings.ToValidUTF8(string(line), "\uFFFD")}
	}
	if rec.msg == "" {
		rec.msg = "(no message)"
	}
	return rec
}

func parseLevel(name string) (slog.Level, bool) {
	switch strings.ToLower(name) {
	case "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warn", "warning":
		return slog.LevelWarn, true
	case "error", "critical", "crit", "fatal", "panic", "dpanic":
		return slog.LevelError, true
	}
	return slog.LevelWarn, false
}
