package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// lokiPusher delivers push.PushRequests over Loki's HTTP API.
type lokiPusher struct{ client *client }

func (p lokiPusher) push(ctx context.Context, tenant string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://engine/loki/api/v1/push", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("push to loki: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set(TenantHeader, tenant)
	resp, err := p.client.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return &PushError{Err: err}
	}
	message := readMessage(resp)
	// Only these two mean that it is stored: Loki can be set up to answer
	// another 2xx when it throws data away.
	if resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusOK {
		return nil
	}
	return &PushError{
		Permanent:  isPermanentStatus(resp.StatusCode),
		RetryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
		Err:        fmt.Errorf("loki answered %s: %s", resp.Status, message),
	}
}

// ready is nil: Loki takes pushes at the address that just said it is ready.
func (p lokiPusher) ready(context.Context) error { return nil }

func (p lokiPusher) close() {}

// isPermanentStatus reports whether the status condemns the bytes that were
// sent: Loki has just these two for that. All others speak of the way to the
// engine, such as credentials, a wrong URL or a gateway's limits, which someone
// can put right: throwing away what we acknowledged would be wrong.
func isPermanentStatus(code int) bool {
	return code == http.StatusBadRequest || code == http.StatusUnprocessableEntity
}

// maxRetryAfter bounds what an engine may ask us to wait.
const maxRetryAfter = time.Hour

// parseRetryAfter reads a Retry-After header (RFC 9110, section 10.2.3): a
// number of seconds or an HTTP date. It returns zero when there is none.
func parseRetryAfter(value string, now time.Time) time.Duration {
	seconds, err := strconv.ParseUint(value, 10, 64)
	if err == nil {
		return min(time.Duration(min(seconds, uint64(maxRetryAfter/time.Second)))*time.Second, maxRetryAfter)
	}
	if errors.Is(err, strconv.ErrRange) {
		return maxRetryAfter
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
