package ship

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/trust"
)

// DefaultURL is where a daemon with default settings listens.
const DefaultURL = "http://127.0.0.1:3100"

// defaultGrace is how long [Run] goes on delivering after its context ended.
const defaultGrace = 5 * time.Second

// errInterrupted ends deliveries that outlast the grace.
var errInterrupted = errors.New("interrupted")

// Options says what to ship where.
type Options struct {
	URL           string            // of the relay, without the path of the push endpoint
	TokenFile     string            // holds the bearer token; empty sends none
	Trust         trust.Options     // whom to believe to be the relay
	TokenOptional bool              // TokenFile may be missing, and may appear later
	Labels        map[string]string // of all streams, before those that are found out
	Files         []string          // paths and glob patterns to follow
	Journal       *Journal          // to follow
	Stdin         io.Reader         // is read if there are neither files nor a journal
	Format        Format            // how lines are wrapped; empty is auto
	StateDir      string            // for the buffer and checkpoints
	StateShared   bool              // for standard input: use another directory if StateDir is in use
	Buffer        int64             // bytes that may wait on disk for the relay; 0 is DefaultBuffer
	MultilineWait time.Duration     // of a record for its next line; 0 joins no lines
	FromEnd       bool              // without any checkpoint, skip what is there at the start
	Progress      io.Writer         // a terminal to show progress on, or nil
	Grace         time.Duration     // for delivering after ctx ended; 0 is 5 s
	Log           *slog.Logger
}

// Summary counts entries: lines, or the records that several lines make.
type Summary struct {
	Read         int64
	Acknowledged int64
	Dropped      int64 // refused by the relay even alone, and named in the log
	Earlier      int64 // acknowledged too, but read by an earlier Run that left them in the buffer
}

// Run ships until the end of standard input, or follows files or a journal until
// ctx ends, and then delivers what was read. The error is nil if and only if
// everything that was read is acknowledged.
func Run(ctx context.Context, o Options) (Summary, error) {
	l, labelErr := newLabeler(o.Labels)
	p, err := newPusher(o)
	if err := errors.Join(labelErr, err); err != nil {
		return Summary{}, err
	}
	defer p.http.CloseIdleConnections()
	return run(ctx, o, l, p)
}

func (o *Options) setDefaults() error {
	o.Grace, o.Buffer, o.Format = cmp.Or(o.Grace, defaultGrace), cmp.Or(o.Buffer, DefaultBuffer), cmp.Or(o.Format, FormatAuto)
	if o.Buffer < minBuffer {
		return fmt.Errorf("the buffer needs at least %d bytes", minBuffer)
	}
	return nil
}

func run(ctx context.Context, o Options, l *labeler, p *pusher) (Summary, error) {
	if err := o.setDefaults(); err != nil {
		return Summary{}, err
	}
	var lock *os.File
	var err error
	if o.StateShared {
		o.StateDir, lock, err = openSharedState(o.StateDir)
	} else {
		lock, err = openState(o.StateDir)
	}
	if err != nil {
		return Summary{}, err
	}
	defer lock.Close()
	buf, err := openBuffer(o.StateDir, o.Buffer, p, o.Log)
	if err != nil {
		return Summary{}, err
	}
	began := time.Now()
	read, err := ship(ctx, buf, l, o)
	c := buf.counts()
	o.Log.Info("shipping ended", "read", read, "acknowledged", c.acked, "dropped", c.dropped, "earlier", c.earlier,
		"seconds", time.Since(began).Round(time.Millisecond).Seconds())
	return Summary{Read: read, Acknowledged: c.acked, Dropped: c.dropped, Earlier: c.earlier}, err
}

// ship reads, stores and delivers, and returns how many lines were read.
func ship(ctx context.Context, buf *buffer, l *labeler, o Options) (lines int64, err error) {
	lasts, stop := lasting(ctx, o.Grace)
	defer stop()
	delivering, stopDelivering := context.WithCancel(context.WithoutCancel(ctx))
	reading, stopReading := context.WithCancelCause(ctx)
	defer stopReading(nil)

	b := newBatcher()
	var storing, behind sync.WaitGroup
	var storeErr, bufErr error
	storing.Go(func() { storeErr = b.run(lasts, buf.store) })
	behind.Go(func() { bufErr = buf.run(delivering) })
	behind.Go(func() {
		select {
		case <-buf.failed:
			stopReading(errGivenUp)
		case <-delivering.Done():
		}
	})
	if o.Progress != nil {
		behind.Go(func() { progress(delivering, o.Progress, buf) })
	}

	readErr := read(reading, b, l, o)
	b.close()
	storing.Wait()
	buf.drain(lasts)
	stopDelivering()
	behind.Wait()
	lines, _ = b.counts()
	return lines, errors.Join(readErr, bufErr, outcome(lines, buf, storeErr, o))
}

// read feeds b from the source that o names.
func read(ctx context.Context, b *batcher, l *labeler, o Options) error {
	switch {
	case o.Journal != nil:
		return followJournal(ctx, b, l, o)
	case len(o.Files) > 0:
		return follow(ctx, b, l, o)
	}
	return readPipe(ctx, b, l, o)
}

// outcome tells what is not acknowledged, and why.
func outcome(read int64, buf *buffer, storeErr error, o Options) error {
	c := buf.counts()
	reason := buf.failure()
	var errs []error
	if open := c.waiting(); open > 0 {
		errs = append(errs, fmt.Errorf("%w: %d entries are not acknowledged; they wait in %s and will be sent at the next start",
			cmp.Or(reason, errInterrupted), open, o.StateDir))
	} else if reason != nil {
		errs = append(errs, reason)
	}
	if lost := read - c.stored; lost > 0 {
		fate := "are lost"
		if o.Journal != nil || len(o.Files) > 0 {
			fate = "will be read again at the next start"
		}
		errs = append(errs, fmt.Errorf("%w: %d entries did not fit into the buffer and %s", cmp.Or(storeErr, errInterrupted), lost, fate))
	}
	if c.dropped > 0 {
		errs = append(errs, fmt.Errorf("%d entries were dropped because the relay refused them", c.dropped))
	}
	return errors.Join(errs...)
}

// lasting returns a context that ends grace after parent does.
func lasting(parent context.Context, grace time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	go func() {
		select {
		case <-parent.Done():
		case <-ctx.Done():
			return
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

func newPusher(o Options) (*pusher, error) {
	base, urlErr := url.Parse(o.URL)
	if urlErr == nil && (base.Host == "" || base.Scheme != "http" && base.Scheme != "https") {
		urlErr = errors.New("want http://host:port or https://host:port")
	}
	if urlErr != nil {
		urlErr = fmt.Errorf("url %q: %w", o.URL, urlErr)
	}
	t := token{path: o.TokenFile, optional: o.TokenOptional}
	_, tokenErr := t.load()
	transport, trustErr := trust.Transport(o.Trust)
	if err := errors.Join(urlErr, tokenErr, trustErr); err != nil {
		return nil, err
	}
	return &pusher{
		url:   strings.TrimSuffix(base.String(), "/") + pushPath,
		token: t,
		log:   o.Log,
		http: &http.Client{
			Transport: transport,
			Timeout:   requestTimeout,
			// A token is for the address it was given for, and for no other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}
