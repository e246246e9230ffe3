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
)

const (
	pushPath = "/loki/api/v1/push"

	// requestTimeout bounds one attempt, so that a relay that hangs is tried again.
	requestTimeout = 30 * time.Second
	// maxRetryAfter bounds the pause that a relay can ask for.
	maxRetryAfter = 5 * time.Minute
	// maxAnswer is how much of an error body is read, in bytes.
	maxAnswer = 2048
)

// pusher sends requests to the relay. It is not safe for concurrent use.
type pusher struct {
	url   string // of the push endpoint
	token token
	http  *http.Client
	log   *slog.Logger
	raw   []byte // of requests that are encoded anew, reused
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

// passing reports whether an error of push may be gone at another try, and when
// the relay asked to be tried again.
func passing(err error) (after time.Duration, ok bool) {
	var a *answer
	if errors.As(err, &a) {
		return a.after, a.passing()
	}
	var p *permanentError
	return 0, !errors.As(err, &p)
}

// permanentError is one that only the user can do something about.
type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

// push sends a request, once again if the token was replaced meanwhile. Its error
// is an [*answer] if there was one, or wraps one.
func (p *pusher) push(ctx context.Context, packed []byte) error {
	err := p.send(ctx, packed)
	var a *answer
	if errors.As(err, &a) && a.status == http.StatusUnauthorized {
		changed, loadErr := p.token.load()
		if loadErr != nil {
			return &permanentError{fmt.Errorf("%w: %w", err, loadErr)}
		}
		if changed {
			err = p.send(ctx, packed)
		}
	}
	switch {
	case !errors.As(err, &a) || a.passing() || a.refused():
		return err
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return &permanentError{fmt.Errorf("%w (sent with %s; it must be valid and have the scope logs:write)", err, p.token.name())}
	}
	return &permanentError{fmt.Errorf("%w (is %s the right address?)", err, p.url)}
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
