package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Engine is one Loki or one Tempo, wherever it runs.
type Engine interface {
	// RoundTrip answers a request to the engine's query API. The request's
	// scheme and host are ignored: the engine knows where it is. Requests with
	// ProtoMajor 2 and a gRPC content type travel as gRPC over HTTP/2.
	// It answers an error that wraps [ErrUnavailable] when the engine can't be
	// reached, and the context's error when the request was given up.
	http.RoundTripper

	// Push delivers one encoded request of a tenant: for Loki a
	// snappy-compressed push.PushRequest, for Tempo an OTLP
	// ExportTraceServiceRequest. It returns nil once the engine acknowledged,
	// and otherwise a [*PushError] or the context's error. The body must not be
	// changed afterwards: a push that was given up may still be reading it.
	Push(ctx context.Context, tenant string, body []byte) error

	// Ready returns nil when the engine can answer queries and take data.
	// Otherwise its error wraps [ErrUnavailable] and tells what is wrong.
	Ready(ctx context.Context) error
}

// ErrUnavailable means that the engine could not be reached: it isn't running,
// isn't ready, or the connection to it failed. The same request may work later.
var ErrUnavailable = errors.New("engine is unavailable")

// PushError tells why an engine did not take a request.
type PushError struct {
	// Permanent is true when sending the same bytes again can't succeed.
	Permanent bool
	// RetryAfter is how long the engine asked to wait; zero when it didn't say.
	RetryAfter time.Duration
	// Err is the engine's answer or the transport's error.
	Err error
}

func (e *PushError) Error() string {
	if e.Permanent {
		return fmt.Sprintf("engine refused the request: %v", e.Err)
	}
	return fmt.Sprintf("engine did not take the request: %v", e.Err)
}

func (e *PushError) Unwrap() error { return e.Err }

// readyPoll is how often an engine that isn't ready is asked again. Both
// engines start in a few hundred milliseconds.
const readyPoll = 25 * time.Millisecond

// WaitReady asks until the engine is ready or ctx ends. In the latter case it
// returns what the engine last said, joined with the context's error.
func WaitReady(ctx context.Context, e Engine) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := e.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the engine: %w", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}
