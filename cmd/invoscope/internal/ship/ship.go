package ship

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
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
	TokenOptional bool              // TokenFile may be missing, and may appear later
	Labels        map[string]string // of the stream, besides kubernetes_container_name="restate"
	Files         []string          // paths and glob patterns to follow; none means Stdin
	StateDir      string            // for checkpoints; used with Files only
	FromEnd       bool              // without any checkpoint, skip what files hold at the start
	Stdin         io.Reader
	Progress      io.Writer     // a terminal to show progress on, or nil
	Grace         time.Duration // for delivering after ctx ended; 0 is 5 s
	Log           *slog.Logger
}

// Summary counts lines.
type Summary struct {
	Read         int64
	Acknowledged int64
	Dropped      int64 // refused by the relay even alone, and named in the log
}

// Run ships until the end of standard input, or follows files until ctx ends,
// and then delivers what was read. The error is nil if and only if everything
// that was read is acknowledged.
func Run(ctx context.Context, o Options) (Summary, error) {
	p, err := newPusher(o)
	if err != nil {
		return Summary{}, err
	}
	defer p.http.CloseIdleConnections()
	return run(ctx, o, p)
}

func run(ctx context.Context, o Options, p *pusher) (Summary, error) {
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	began := time.Now()
	q := newQueue()
	pushing, stop := lasting(ctx, o.Grace)
	defer stop()

	var pushErr error
	var wg sync.WaitGroup
	wg.Go(func() { pushErr = q.run(pushing, p.deliver) })
	showing, hide := context.WithCancel(context.WithoutCancel(ctx))
	defer hide()
	var shown sync.WaitGroup
	if o.Progress != nil {
		shown.Go(func() { progress(showing, o.Progress, q) })
	}

	readErr := read(ctx, q, o)
	q.close()
	wg.Wait()
	hide()
	shown.Wait()

	c := q.counts()
	o.Log.Info("shipping ended", "read", c.read, "acknowledged", c.acked, "dropped", c.dropped,
		"seconds", time.Since(began).Round(time.Millisecond).Seconds())
	return Summary{Read: c.read, Acknowledged: c.acked, Dropped: c.dropped},
		errors.Join(readErr, outcome(c, pushErr, len(o.Files) > 0))
}

// read feeds the queue from the source that o names.
func read(ctx context.Context, q *queue, o Options) error {
	if len(o.Files) == 0 {
		return readAll(ctx, o.Stdin, q, o.Grace/2)
	}
	return follow(ctx, q, o)
}

// outcome tells what is not acknowledged, and why.
func outcome(c counts, pushErr error, resumes bool) error {
	var errs []error
	if pushErr != nil && (c.open() > 0 || !errors.Is(pushErr, errInterrupted)) {
		again := ""
		if resumes {
			again = ", and will be sent at the next start"
		}
		errs = append(errs, fmt.Errorf("%w: %d lines are not acknowledged%s", pushErr, c.open(), again))
	}
	if c.dropped > 0 {
		errs = append(errs, fmt.Errorf("%d lines were dropped because the relay refused them", c.dropped))
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
	labels, labelErr := streamLabels(o.Labels)
	t := token{path: o.TokenFile, optional: o.TokenOptional}
	_, tokenErr := t.load()
	if err := errors.Join(urlErr, labelErr, tokenErr); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &pusher{
		url:    strings.TrimSuffix(base.String(), "/") + pushPath,
		labels: labels,
		token:  t,
		log:    o.Log,
		pause:  newPause,
		http: &http.Client{
			Transport: transport,
			Timeout:   requestTimeout,
			// A token is for the address it was given for, and for no other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}
