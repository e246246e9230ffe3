package invocation

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/invoscope/invoscope/relay/fault"
)

const (
	// maxTellings is how many timelines of a tenant are read at once, each of which may
	// hold [maxAnswer] of traces and as much of lines. The others wait.
	maxTellings = 8
	// maxFollowers is how many clients of a tenant may follow.
	maxFollowers = 64
	// maxStall is how long a client may leave a timeline unread that waits for it: as
	// long as a page of it in a pager may take somebody.
	maxStall = 5 * time.Minute
	// retryFollow is when somebody may have stopped following.
	retryFollow = time.Minute
)

// limits is what each tenant has under way.
type limits struct {
	mu      sync.Mutex
	tenants map[string]*load
}

type load struct {
	tellings  chan struct{} // as many as there are
	followers int           // guarded by limits.mu
}

func (l *limits) of(tenant string) *load {
	if l.tenants == nil {
		l.tenants = map[string]*load{}
	}
	if l.tenants[tenant] == nil {
		l.tenants[tenant] = &load{tellings: make(chan struct{}, maxTellings)}
	}
	return l.tenants[tenant]
}

// telling waits until a tenant may read one more timeline. The error is that of ctx;
// without one, done must be called.
func (l *limits) telling(ctx context.Context, tenant string) (done func(), err error) {
	l.mu.Lock()
	slots := l.of(tenant).tellings
	l.mu.Unlock()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// following lets a tenant follow one more invocation, or refuses to. Without an
// error, done must be called.
func (l *limits) following(tenant string) (done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	load := l.of(tenant)
	if load.followers == maxFollowers {
		return nil, &fault.Error{Kind: fault.Full, Message: "too many timelines are followed already", RetryAfter: retryFollow}
	}
	load.followers++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		load.followers--
	}, nil
}

// stallWriter gives up on a client that doesn't read.
type stallWriter struct {
	http.ResponseWriter
	most time.Duration
}

// Write implements [io.Writer].
func (w stallWriter) Write(b []byte) (int, error) {
	w.hurry()
	return w.ResponseWriter.Write(b)
}

// FlushError is for [http.ResponseController].
func (w stallWriter) FlushError() error {
	w.hurry()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// hurry sets the deadline anew; net/http takes it back at the end of the request. It
// can't be set on a test's recorder, nor on a connection that is gone.
func (w stallWriter) hurry() {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.most))
}

// Unwrap is for [http.ResponseController].
func (w stallWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
