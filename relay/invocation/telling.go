package invocation

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/fault"
)

// maxSpans bounds the spans that are read for one timeline.
const maxSpans = 50_000

// telling tells a timeline once, in order. The spans are read at the beginning,
// the lines batch by batch.
type telling struct {
	api    *API
	tenant string
	cast   *cast
	traces map[index.TraceID]*trace // those that could be read
	ours   map[index.TraceID]bool   // whether all invocations that a trace names are in the cast
	spans  []*span                  // to be told
	lines  lineReader
	batch  []line // to be told
	after  position
	// linesRead is set when there are no more lines.
	linesRead bool
	gaps      []string
	// failure is why an engine couldn't be asked, for when nothing can be told.
	failure error
}

// tell begins to tell the timeline of a cast after a position. The error is that
// of ctx.
func (a *API) tell(ctx context.Context, tenant string, c *cast, after position) (*telling, error) {
	t := &telling{
		api: a, tenant: tenant, cast: c, after: after, gaps: slices.Clone(c.gaps),
		traces: map[index.TraceID]*trace{}, ours: map[index.TraceID]bool{},
	}
	if err := t.readTraces(ctx); err != nil {
		return nil, err
	}
	from, to := c.from, c.to
	for _, tr := range t.traces {
		t.takeSpans(tr)
	}
	for _, s := range t.spans {
		from, to = min(from, s.start-int64(pad)), max(to, s.end()+int64(pad))
	}
	slices.SortFunc(t.spans, func(x, y *span) int { return x.position().compare(y.position()) })
	first := sort.Search(len(t.spans), func(i int) bool { return t.spans[i].position().compare(after) > 0 })
	t.spans = t.spans[first:]
	from, to = t.limitLines(from, to)
	t.lines = a.linesOf(tenant, t, from, to)
	return t, nil
}

// maxLinesRange is how far back lines are looked for, as engine.MaxLead is ahead of
// now: a span's times may be anything, and Loki is asked for a month at a time.
const maxLinesRange = 366 * 24 * time.Hour

// limitLines is from when to when, exclusively, lines are looked for.
func (t *telling) limitLines(from, to int64) (first, end int64) {
	end = min(to, t.api.opts.Now().Add(engine.MaxLead).UnixNano()) + 1
	first = max(0, from)
	if earliest := end - int64(maxLinesRange); first < earliest {
		first = earliest
		t.addGap("lines: none were looked for from before %s", timeOf(first).Format(time.DateOnly))
	}
	return first, end
}

// linesOf reads the lines of the cast, and those of its traces.
func (a *API) linesOf(tenant string, t *telling, from, to int64) lineReader {
	switch t.after.rank {
	case rankEnd:
		from = max(from, t.after.at+1)
	default:
		from = max(from, t.after.at)
	}
	var traces []index.TraceID
	for _, r := range t.cast.traces {
		if t.traces[r.id] != nil {
			traces = append(traces, r.id)
		}
	}
	return lineReader{
		api: a, tenant: tenant, from: from, to: to, limit: linesPerRequest,
		query: lineQuery(selector(a.opts.TenantKey, tenant), t.cast.ids, traces),
	}
}

func (t *telling) addGap(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(t.gaps, text) {
		t.gaps = append(t.gaps, text)
	}
}

// readTraces reads the cast's traces and says whose their spans are.
func (t *telling) readTraces(ctx context.Context) error {
	left := room{spans: maxSpans, bytes: maxAnswer}
	for _, r := range t.cast.traces {
		id := r.id.String()
		if left.spans == 0 || left.bytes == 0 {
			t.addGap("trace %s: there was no room to read it", id)
			continue
		}
		tr, err := t.api.readTrace(ctx, t.tenant, r, left)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errNotThere):
			t.addGap("trace %s: Tempo doesn't have it", id)
			continue
		case errors.Is(err, errTooLarge):
			t.addGap("trace %s: it is too large to be read", id)
			continue
		default: // nor will it answer for the others
			t.failure = err
			t.addGap("traces: Tempo can't be asked")
			return nil
		}
		if !tr.whole {
			t.addGap("trace %s: only a part of it was read", id)
		}
		left.spans -= len(tr.spans)
		left.bytes -= min(left.bytes, tr.size)
		tr.assign(t.cast.known)
		t.traces[r.id] = tr
		t.ours[r.id] = tr.whole && tr.names(t.isMember)
	}
	return nil
}

func (t *telling) isMember(id correlate.InvocationID) bool { return t.cast.members[id] != "" }

// takeSpans picks the spans of a trace that are told.
func (t *telling) takeSpans(tr *trace) {
	lost := 0
	for i := range tr.spans {
		s := &tr.spans[i]
		if t.relation(s.owner, s.lost && t.ours[tr.id]) != "" {
			t.spans = append(t.spans, s)
		} else if s.lost {
			lost++
		}
	}
	if lost > 0 {
		t.addGap("trace %s: %d of its spans aren't shown, because whose they are isn't known", tr.id.String(), lost)
	}
}

// relation is what an owner is to the timeline, or "" if it isn't told of. What
// has no owner is told if it is ours all the same.
func (t *telling) relation(owner correlate.InvocationID, ours bool) string {
	if owner == none && ours {
		return relationTrace
	}
	return t.cast.members[owner]
}

func (s *span) position() position {
	return position{s.start, rankSpan, s.trace.String() + s.id.String()}
}

// lineOwner says whose a line is, and what that is to the timeline: "" if the line
// isn't told. A line names its invocation, or a span of a trace.
func (t *telling) lineOwner(l *line) (owner correlate.InvocationID, relation string) {
	if id, err := correlate.ParseInvocationID(l.meta[correlate.MetaInvocationID]); err == nil {
		return id, t.cast.members[id]
	}
	var traceID index.TraceID
	if !parseHex(traceID[:], l.meta[correlate.MetaTraceID]) || t.traces[traceID] == nil {
		return none, ""
	}
	tr := t.traces[traceID]
	var spanID index.SpanID
	lost := true
	if parseHex(spanID[:], l.meta[metaSpan]) {
		if i, ok := tr.at[spanID]; ok {
			owner, lost = tr.spans[i].owner, tr.spans[i].lost
		} else {
			owner = t.cast.known[spanID]
		}
	}
	return owner, t.relation(owner, lost && t.ours[traceID])
}

// parseHex fills id with what text says, if it says all of it.
func parseHex(id []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(id)) {
		return false
	}
	_, err := hex.Decode(id, []byte(text))
	return err == nil
}

// told is an event, and the position after it.
type told struct {
	event Event
	at    position
	size  int // of its text, in bytes
}

// errPause means that as many lines were looked at as a page may.
var errPause = errors.New("enough was read for one page")

// next returns the next event, or nil at the end. With asks > 0 it returns
// errPause once so many requests were sent to Loki. Other errors are those of ctx.
func (t *telling) next(ctx context.Context, asks int) (*told, error) {
	for {
		if len(t.batch) == 0 && !t.linesRead {
			// Spans of times whose lines were read needn't wait for more.
			if len(t.spans) > 0 && t.spans[0].start < t.lines.from {
				return t.nextSpan(), nil
			}
			if asks > 0 && t.lines.asked >= asks {
				return nil, errPause
			}
			if err := t.fetch(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if len(t.spans) > 0 && (len(t.batch) == 0 || t.spans[0].start <= t.batch[0].at) {
			return t.nextSpan(), nil
		}
		if len(t.batch) == 0 {
			return nil, nil
		}
		l := &t.batch[0]
		t.batch = t.batch[1:]
		if owner, relation := t.lineOwner(l); relation != "" {
			return &told{lineEvent(l, owner, relation), position{l.at, rankLine, l.identity()}, len(l.text)}, nil
		}
	}
}

// reached is the position that all before was told of, when next paused.
func (t *telling) reached() position { return position{at: t.lines.from - 1, rank: rankEnd} }

func (t *telling) nextSpan() *told {
	s := t.spans[0]
	t.spans = t.spans[1:]
	return &told{spanEvent(s, t.relation(s.owner, s.lost)), s.position(), 0}
}

// fetch reads the next batch of lines. What Loki can't tell is a gap.
func (t *telling) fetch(ctx context.Context) (err error) {
	t.batch, t.linesRead, err = t.lines.next(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		t.linesRead, t.failure = true, err
		t.addGap("lines: Loki can't be asked for those from %s on", timeOf(t.lines.from).Format(timeLayout))
	}
	if t.lines.crowded {
		t.addGap("lines: there are more at one time than Loki tells")
	}
	t.skip()
	return nil
}

const timeLayout = "2006-01-02T15:04:05.999999999Z"

// skip leaves out the lines that were told before the position we began at.
func (t *telling) skip() {
	if t.after.rank != rankLine {
		return
	}
	end, _ := slices.BinarySearchFunc(t.batch, t.after.at+1, func(l line, at int64) int { return cmp.Compare(l.at, at) })
	for i := range t.batch[:end] {
		if t.batch[i].identity() == t.after.key {
			t.batch = t.batch[i+1:]
			return
		}
	}
}

// unavailable is the failure as a client sees it.
func unavailable(err error) error {
	return &fault.Error{Kind: fault.Unavailable, Message: "the engines can't be asked, try again", RetryAfter: retryUnavailable, Cause: err}
}
