package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
)

const (
	pushPath = "/loki/api/v1/push"

	// requestTimeout bounds one attempt, so that a relay that hangs is tried again.
	requestTimeout = 30 * time.Second
	// maxRetryInterval bounds the pause between two attempts, and
	// maxRetryAfter the pause that a relay can ask for.
	maxRetryInterval = 15 * time.Second
	maxRetryAfter    = 5 * time.Minute
	// maxAnswer is how much of an error body is read, in bytes.
	maxAnswer = 2048
)

// pusher sends entries to the relay. It is not safe for concurrent use.
type pusher struct {
	url    string // of the push endpoint
	labels string
	token  token
	http   *http.Client
	log    *slog.Logger
	pause  func() backoff.BackOff // between attempts
	away   bool                   // the last attempt failed, and was reported
	body   []byte                 // the encoded request, reused
}

// answer is a response other than success.
type answer struct {
	status int
	text   string
	after  time.Duration // Retry-After, 0 if absent
}

func (a *answer) Error() string {
	return fmt.Sprintf("the relay answered %d: %s", a.status, a.text)
}

// refused reports whether the answer is about what was sent, so that a part of
// it may do better.
func (a *answer) refused() bool {
	return a.status == http.StatusBadRequest || a.status == http.StatusRequestEntityTooLarge
}

// passing reports whether the same request may succeed later.
func (a *answer) passing() bool {
	return a.status >= 500 || a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout
}

// push sends entries as one request until the relay acknowledges or refuses
// them (an [*answer]), or ctx ends.
func (p *pusher) push(ctx context.Context, entries []push.Entry) error {
	packed, err := p.encode(entries)
	if err != nil {
		return err
	}
	attempt := func() (struct{}, error) { return struct{}{}, p.attempt(ctx, packed) }
	_, err = backoff.Retry(ctx, attempt,
		backoff.WithBackOff(p.pause()),
		backoff.WithMaxElapsedTime(0), // for as long as ctx lasts
		backoff.WithNotify(p.lost))
	return err
}

// encode returns a new slice on purpose: the HTTP client may still read a
// request's body when the request has failed.
func (p *pusher) encode(entries []push.Entry) ([]byte, error) {
	req := push.PushRequest{Streams: []push.Stream{{Labels: p.labels, Entries: entries}}}
	n := req.Size()
	if cap(p.body) < n {
		p.body = make([]byte, n)
	}
	n, err := req.MarshalToSizedBuffer(p.body[:n])
	if err != nil {
		return nil, fmt.Errorf("encode lines: %w", err)
	}
	return s2.EncodeSnappy(nil, p.body[:n]), nil
}

// attempt sends a request, once again if the token was replaced meanwhile, and
// marks the errors for [backoff.Retry].
func (p *pusher) attempt(ctx context.Context, packed []byte) error {
	err := p.send(ctx, packed)
	var a *answer
	if errors.As(err, &a) && a.status == http.StatusUnauthorized {
		changed, loadErr := p.token.load()
		if loadErr != nil {
			return backoff.Permanent(fmt.Errorf("%w: %w", err, loadErr))
		}
		if changed {
			err = p.send(ctx, packed)
		}
	}
	switch {
	case err == nil:
		p.found()
		return nil
	case !errors.As(err, &a):
		return err
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return backoff.Permanent(fmt.Errorf("%w (sent with %s; it must be valid and have the scope logs:write)", a, p.token.name()))
	case a.passing() && a.after > 0:
		return fmt.Errorf("%w: %w", a, &backoff.RetryAfterError{Duration: a.after})
	case a.passing():
		return a
	case a.refused():
		p.found()
		return backoff.Permanent(a)
	}
	return backoff.Permanent(fmt.Errorf("%w (is %s the right address?)", a, p.url))
}

// send makes one request. Its error is an [*answer] if there was one.
func (p *pusher) send(ctx context.Context, packed []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("push lines: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "invoscope-ship")
	if p.token.value != "" {
		req.Header.Set("Authorization", "Bearer "+p.token.value)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return fmt.Errorf("push lines: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 == 2 {
		return nil
	}
	if err != nil {
		text = []byte(err.Error())
	}
	return &answer{
		status: resp.StatusCode,
		text:   strings.TrimSpace(string(text)),
		after:  retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
}

// retryAfter reads a Retry-After header: seconds or an HTTP date.
func retryAfter(value string, now time.Time) time.Duration {
	var after time.Duration
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		after = at.Sub(now)
	}
	return max(0, min(after, maxRetryAfter))
}

// lost reports the first failed attempt of a row.
func (p *pusher) lost(err error, _ time.Duration) {
	if !p.away {
		p.away = true
		p.log.Warn("cannot reach "+p.url+", will keep trying", "error", err)
	}
}

// found reports that an outage is over.
func (p *pusher) found() {
	if p.away {
		p.away = false
		p.log.Info("delivering again to " + p.url)
	}
}

// newPause makes the pauses between attempts: exponential, with jitter.
func newPause() backoff.BackOff {
	b := backoff.NewExponentialBackOff()
	b.MaxInterval = maxRetryInterval
	return b
}
