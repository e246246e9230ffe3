package invocation

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/invoscope/invoscope/relay/fault"
)

const (
	// followEvery is the pause between two looks, or followLoad times what the look
	// took, if that is longer.
	followEvery = time.Second
	followLoad  = 4
	// followBack is how far back new lines are looked for: how late a line may come
	// to be told before the end. The last look is at everything.
	followBack = 2 * time.Minute
	// followSettle is how long after an invocation's end more of it is waited for.
	// Restate exports spans every five seconds.
	followSettle = 7 * time.Second
	// followLongAgo is when nothing more is expected of an invocation that ended.
	followLongAgo = time.Minute
	// followGiveUp is how long after that engines that can't be asked are waited for.
	followGiveUp = time.Minute
	// followQuiet is how long nothing is sent; then an empty line is, since proxies end
	// connections on which nothing comes.
	followQuiet = 15 * time.Second
	// maxFollowed bounds the events of one follow, which are remembered.
	maxFollowed = 1_000_000
)

// follower tells a timeline and goes on with what comes, until the invocation has
// ended or the client leaves.
//
// What is there at the beginning comes in order. After that, each look's new events
// are in order among themselves, but may be earlier than what was told before: a
// span is known when it has ended. Each event comes once.
type follower struct {
	api    *API
	w      *eventWriter
	tenant string
	q      timelineRequest
	seed   maphash.Seed
	told   map[uint64]struct{} // hashes of positions
	gaps   []string            // of the last look
	wrote  time.Time           // something
}

func (a *API) follow(ctx context.Context, w *eventWriter, tenant string, q timelineRequest) error {
	done, err := a.limits.following(tenant)
	if err != nil {
		return err
	}
	defer done()
	c, err := a.cast(ctx, tenant, q.id, q.who)
	if err != nil {
		return err
	}
	f := &follower{api: a, w: w, tenant: tenant, q: q, seed: maphash.MakeSeed(), told: map[uint64]struct{}{}}
	began := a.opts.Now()
	failure, ok := f.look(ctx, c, 0)
	switch {
	case !ok:
		return nil
	case failure != nil && len(f.told) == 0:
		return unavailable(failure)
	}
	ended := c.self.Outcome().Final()
	if ended && failure == nil && began.UnixNano()-c.self.LastSeen > int64(followLongAgo) {
		return w.end(End{Gaps: []string{}}, f.gaps)
	}
	var since time.Time // it has been seen to have ended
	for {
		if !pause(ctx, max(followEvery, followLoad*a.opts.Now().Sub(began))) {
			return nil
		}
		began = a.opts.Now()
		c, err := a.cast(ctx, tenant, q.id, q.who)
		switch {
		case err == nil:
		case fault.Of(err).Kind == fault.NotFound:
			return w.end(End{Gaps: []string{}}, append(f.gaps, "follow: the invocation was forgotten"))
		default:
			continue // the index may be back for the next look
		}
		var quiet time.Duration
		switch ended = c.self.Outcome().Final(); {
		case !ended:
			since = time.Time{}
		case since.IsZero():
			since = began
		default:
			quiet = began.Sub(since)
		}
		last := quiet >= followSettle
		back := began.Add(-followBack).UnixNano()
		if last {
			back = 0
		}
		failure, ok := f.look(ctx, c, back)
		switch {
		case !ok:
			return nil
		case len(f.told) >= maxFollowed:
			return w.end(End{Gaps: []string{}}, append(f.gaps, "follow: there are too many events"))
		case last && (failure == nil || quiet >= followSettle+followGiveUp):
			return w.end(End{Gaps: []string{}}, f.gaps)
		}
	}
}

// look tells the events that weren't told yet, of lines only those from a time on,
// in nanoseconds since 1970. It returns why an engine couldn't be asked, and
// whether the client still reads.
func (f *follower) look(ctx context.Context, c *cast, linesFrom int64) (failure error, ok bool) {
	done, err := f.api.limits.telling(ctx, f.tenant)
	if err != nil {
		return nil, false
	}
	defer done()
	t, err := f.api.tell(ctx, f.tenant, c, f.q.after)
	if err != nil {
		return nil, false
	}
	t.lines.from = max(t.lines.from, linesFrom)
	now := f.api.opts.Now()
	t.lines.to = max(t.lines.to, now.Add(pad).UnixNano())
	for len(f.told) < maxFollowed {
		next, err := t.next(ctx, 0)
		if err != nil {
			return nil, false
		}
		if next == nil {
			break
		}
		key := maphash.Comparable(f.seed, next.at)
		if _, had := f.told[key]; had {
			continue
		}
		f.told[key] = struct{}{}
		if !f.w.event(next.event) {
			return nil, false
		}
		f.wrote = now
	}
	f.gaps = t.gaps
	if len(f.told) == 0 && t.failure != nil {
		return t.failure, true // nothing was written yet
	}
	if now.Sub(f.wrote) >= followQuiet {
		f.w.buf.WriteByte('\n') //nolint:errcheck // flush returns it
		f.wrote = now
	}
	return t.failure, f.w.flush()
}

// pause waits, and reports false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
