package relay

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestReadinessIsRemembered(t *testing.T) {
	f := newFixture(t)
	now := time.Unix(1000, 0)
	f.relay.ready.now = func() time.Time { return now }
	get := func() int { return f.do(httptest.NewRequest(http.MethodGet, "/ready", nil)).StatusCode }
	for range 10 {
		if got := get(); got != http.StatusOK {
			t.Errorf("status %d", got)
		}
	}
	f.tempo.err = errors.New("gone")
	if got := get(); got != http.StatusOK {
		t.Errorf("within a second: status %d", got)
	}
	now = now.Add(time.Second)
	for range 10 {
		if got := get(); got != http.StatusServiceUnavailable {
			t.Errorf("after a second: status %d", got)
		}
	}
	if got := f.loki.asked.Load(); got != 2 {
		t.Errorf("the engine was asked %d times, want 2", got)
	}
}

// Whoever goes away while asking doesn't decide what others are told.
func TestReadinessOutlivesWhoAsked(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.relay.ready.tempo = cancellable{&f.tempo}
	if err := f.relay.ready.check(ctx); err != nil {
		t.Errorf("%v", err)
	}
}

// cancellable is an engine that isn't ready for those who are gone.
type cancellable struct{ *fakeEngine }

func (cancellable) Ready(ctx context.Context) error { return ctx.Err() }
