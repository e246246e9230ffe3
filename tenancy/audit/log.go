package audit

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"
	"github.com/prometheus/client_golang/prometheus"
)

// Stderr is the name of the file that means standard error.
const Stderr = "-"

const (
	fileMode = 0o600
	dirMode  = 0o700
	// sayFailing is how often it is logged that lines are lost.
	sayFailing = time.Minute
)

// Options say where lines go.
type Options struct {
	// File is the path, or [Stderr]. Its directory is made if there is none.
	File string
	// MaxBytes is how large the file may get before it is renamed, with the time in its
	// name, and a new one begun. It is rounded up to MiB; at least one.
	MaxBytes int64
	// MaxFiles is how many renamed files are kept; 0 keeps all.
	MaxFiles int
	// Stderr is where lines go when File is [Stderr]; nil is the process's own.
	Stderr io.Writer

	Log        *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // nil means time.Now
}

// Log is the audit log. It is safe for concurrent use.
type Log struct {
	opts    Options
	metrics *metrics

	mu        sync.Mutex
	out       io.Writer
	file      *timberjack.Logger // nil on standard error
	closed    bool
	torn      bool // the last line was cut off
	said      time.Time
	strangers bucket
}

// Open opens the log, or says why lines couldn't be written to it.
func Open(o Options) (*Log, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &Log{opts: o, metrics: newMetrics(o.Registerer), strangers: newBucket(o.Now())}
	if o.File == Stderr {
		l.out = o.Stderr
		if l.out == nil {
			l.out = os.Stderr //nolint:forbidigo // "-" stands for the process's own
		}
		return l, nil
	}
	file, err := l.openFile()
	if err != nil {
		return nil, err
	}
	l.file, l.out = file, file
	return l, nil
}

func (l *Log) openFile() (*timberjack.Logger, error) {
	if err := os.MkdirAll(filepath.Dir(l.opts.File), dirMode); err != nil {
		return nil, fmt.Errorf("make the audit log's directory: %w", err)
	}
	// timberjack opens the file at the first line, which is late to learn that it can't.
	probe, err := os.OpenFile(l.opts.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, fileMode)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	if err := probe.Close(); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	const mib = 1 << 20
	return &timberjack.Logger{
		Filename: l.opts.File, FileMode: fileMode, Compression: "none",
		MaxSize: int(max((l.opts.MaxBytes+mib-1)/mib, 1)), MaxBackups: l.opts.MaxFiles,
	}, nil
}

// Reopen goes on in the file of the log's name, for when somebody has moved the old
// one away. If that fails, the log goes on in the old one.
func (l *Log) Reopen() error {
	if l.opts.File == Stderr {
		return nil
	}
	file, err := l.openFile()
	if err != nil {
		return err
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	old := l.file
	l.file, l.out = file, file
	l.torn = false
	l.mu.Unlock()
	if err := old.Close(); err != nil {
		return fmt.Errorf("close the moved audit log: %w", err)
	}
	return nil
}

// Close closes the file. What is recorded after that is lost, and counted.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	file := l.file
	l.mu.Unlock()
	if file == nil {
		return nil
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("close the audit log: %w", err)
	}
	return nil
}

// Record writes a request's line. It waits for the operating system to take it, not
// for the disk. A line that can't be written is lost: that is counted, and logged
// once a minute.
func (l *Log) Record(r *Record) {
	left := uint64(0)
	if stranger(r) {
		var let bool
		if left, let = l.takeStranger(); !let {
			l.metrics.suppressed.Inc()
			return
		}
	}
	b := lines.Get().(*line)
	defer lines.Put(b)
	b.text = appendRecord(append(b.text[:0], '\n'), r, left)

	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(b.text); err != nil {
		l.metrics.lost.Inc()
		l.say(err)
		return
	}
	l.metrics.written.Inc()
}

func (l *Log) takeStranger() (left uint64, let bool) {
	now := l.opts.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.strangers.take(now)
}

var errClosed = errors.New("the audit log is closed")

// write writes a line that begins with a newline, which is for ending one that was cut
// off.
func (l *Log) write(text []byte) error {
	if l.closed {
		return errClosed
	}
	if !l.torn {
		text = text[1:]
	}
	n, err := l.out.Write(text)
	switch {
	case n == len(text):
		l.torn = false
	case n > 0:
		l.torn = true
	}
	return err
}

// say logs that lines are lost, unless it did so just now.
func (l *Log) say(err error) {
	now := l.opts.Now()
	if !l.said.IsZero() && now.Sub(l.said) < sayFailing {
		return
	}
	l.said = now
	l.opts.Log.Error("a line of the audit log is lost", "file", l.opts.File, "err", err)
}
