package relay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
)

const (
	// readyFor is how long an answer about readiness is good for. The route is
	// open, so strangers could keep the engines busy with it.
	readyFor = time.Second
	// notReadyFor is the same for the answer that they are not: whoever waits for
	// them learns soon.
	notReadyFor = 50 * time.Millisecond
	// readyTimeout bounds one look at the engines.
	readyTimeout = 5 * time.Second
)

// readiness remembers whether the engines are ready.
type readiness struct {
	loki, tempo engine.Engine
	now         func() time.Time

	mu    sync.Mutex
	until time.Time
	err   error
}

// check asks the engines, unless somebody did so just now. Those who come while
// it asks wait for its answer; it is everybody's, so that it doesn't end with
// the request that caused it.
func (r *readiness) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now().Before(r.until) {
		return r.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	r.err = errors.Join(r.loki.Ready(ctx), r.tempo.Ready(ctx))
	good := readyFor
	if r.err != nil {
		good = notReadyFor
	}
	r.until = r.now().Add(good)
	return r.err
}

// ready answers as Loki and Tempo do, for both.
func ready(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, _ tenancy.Identity) error {
		if err := r.ready.check(req.Context()); err != nil {
			return &fault.Error{Kind: fault.Unavailable, Message: "not ready", RetryAfter: retryUnavailable, Cause: err}
		}
		_, _ = io.WriteString(w, "ready\n") // a client that has gone away can't be told
		return nil
	}
}
