package keyset

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	maxWait    = 2 * time.Second  // how long a call of Keys waits
	maxWaiting = 64               // how many wait at a time; the others go without
	askAgain   = 30 * time.Second // between two fetches that tokens caused
	firstRetry = time.Second      // after a fetch that failed
	lastRetry  = time.Minute
)

// ask returns what is closed when a fetch has ended that may find more keys, or nil if
// none is under way and none may be asked for, or too many wait already. Unless it is
// nil, leave has to follow.
func (s *Set) ask() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.waiting >= maxWaiting {
		return nil
	}
	if s.pending == nil {
		now := s.opts.Now()
		// A clock that was set back doesn't make it wait for longer.
		if since := now.Sub(s.asked); since >= 0 && since < askAgain {
			return nil
		}
		s.asked, s.pending = now, make(chan struct{})
		s.wake <- struct{}{} // has room: there is one for each pending
	}
	s.waiting++
	return s.pending
}

func (s *Set) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}

// end lets go of those who wait for what will not come.
func (s *Set) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.pending != nil {
		close(s.pending)
		s.pending = nil
	}
}

// refresh fetches until ctx ends.
func (s *Set) refresh(ctx context.Context) {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.Multiplier, retry.MaxInterval = firstRetry, 2, lastRetry
	var failed error // the last time
	for {
		err := s.fetchOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := s.opts.Refresh + time.Duration((rand.Float64()-0.5)/5*float64(s.opts.Refresh))
		if err != nil {
			pause = min(retry.NextBackOff(), pause)
			level := slog.LevelWarn
			if failed != nil && failed.Error() == err.Error() {
				level = slog.LevelDebug // as before
			}
			s.log.Log(ctx, level, "fetching keys failed; those there are stay in force", "err", err, "have", s.count(), "pause", pause)
		} else {
			retry.Reset()
			if failed != nil {
				s.log.Info("fetching keys works again", "have", s.count())
			}
		}
		failed = err
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// fetchOnce fetches the keys, and puts them in force if there are any.
func (s *Set) fetchOnce(ctx context.Context) error {
	s.mu.Lock()
	if s.pending == nil {
		s.pending = make(chan struct{})
	}
	s.mu.Unlock()
	keys, skipped, err := s.fetch(ctx)
	if ctx.Err() != nil {
		return err // says nothing about the provider; end lets go of who waits
	}
	if err == nil {
		before, had := s.Generation(), s.count()
		s.put(keys)
		s.logSkipped(skipped)
		if s.Generation() != before || s.count() != had {
			s.log.Info("the keys changed", "have", s.count(), "had", had)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
	if err == nil {
		s.fetched = s.opts.Now()
	}
	s.opts.Metrics.fetched(s, err)
	close(s.pending)
	s.pending = nil
	// Asked for before this fetch began, and answered by it.
	select {
	case <-s.wake:
	default:
	}
	return err
}

// logSkipped says which keys aren't used, unless it did already.
func (s *Set) logSkipped(skipped []string) {
	text := list(skipped)
	if text != "" && text != s.told {
		s.log.Warn("some keys are not used", "why", text)
	}
	s.told = text
}

// list joins the first of the reasons.
func list(skipped []string) string {
	more := ""
	if n := len(skipped) - maxTold; n > 0 {
		skipped, more = skipped[:maxTold], fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(skipped, "; ") + more
}
