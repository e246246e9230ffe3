package index_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
)

// mortal is a store that fails for good when it is told to.
type mortal struct {
	*indextest.Memory
	failure error
	closed  bool
}

func (m *mortal) Failure() error { return m.failure }

func (m *mortal) Close() error { m.closed = true; return m.Memory.Close() }

func (m *mortal) Sync(ctx context.Context) error {
	if m.failure != nil {
		return m.failure
	}
	return m.Memory.Sync(ctx)
}

func TestReopening(t *testing.T) {
	indextest.Run(t, func(*testing.T) func() (index.Store, error) {
		var last *indextest.Memory
		return func() (index.Store, error) {
			return index.NewReopening(context.Background(), func(context.Context, error) (index.Store, error) {
				if last == nil {
					last = indextest.NewMemory()
				} else {
					last = last.Reopen()
				}
				return last, nil
			}, slog.New(slog.DiscardHandler), time.Now), nil
		}
	})
}

func TestAStoreIsOpenedAgain(t *testing.T) {
	away, broken := errors.New("away"), errors.New("broken")
	now := time.Unix(0, 0)
	var tries int
	var reasons []error
	var opened *mortal
	openFails := away
	r := index.NewReopening(t.Context(), func(_ context.Context, why error) (index.Store, error) {
		tries++
		reasons = append(reasons, why)
		if openFails != nil {
			return nil, openFails
		}
		opened = &mortal{Memory: indextest.NewMemory()}
		return opened, nil
	}, slog.New(slog.DiscardHandler), func() time.Time { return now })

	sync := func(want error, wantTries int) {
		t.Helper()
		if err := r.Sync(t.Context()); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%v, not %v", err, want)
		}
		if tries != wantTries {
			t.Errorf("opened %d times, not %d", tries, wantTries)
		}
	}
	sync(away, 1) // it isn't time to try again
	now = now.Add(6 * time.Second)
	sync(away, 2)
	now = now.Add(6 * time.Second)
	sync(away, 2) // it waits longer now
	now = now.Add(5 * time.Second)
	openFails = nil
	sync(nil, 3)
	sync(nil, 3)

	opened.failure = broken
	sync(broken, 3)
	if !opened.closed {
		t.Error("the failed store wasn't closed")
	}
	sync(broken, 3)
	now = now.Add(time.Hour)
	sync(nil, 4)
	if !errors.Is(reasons[3], broken) {
		t.Errorf("opened anew because of %v", reasons[3])
	}
	if err := r.Close(); err != nil || !opened.closed {
		t.Errorf("closed: %t, %v", opened.closed, err)
	}
	if err := r.Sync(t.Context()); err == nil {
		t.Error("a closed store syncs")
	}
}
