package invocation

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/invoscope/invoscope/correlate"
)

const (
	defaultEvents = 1000
	maxEvents     = 5000
	// maxPageBytes is how many bytes of lines end a page.
	maxPageBytes = 8 << 20
	// maxAsks is how many requests to Loki end a page.
	maxAsks = 50

	defaultDepth = 1
	maxDepth     = 8

	// retryUnavailable is about how long an engine takes to come back.
	retryUnavailable = time.Second
)

const ndjson = "application/x-ndjson"

// timelineRequest is what a client wants of a timeline.
type timelineRequest struct {
	id     correlate.InvocationID
	who    relatives
	after  position
	limit  int // 0: none
	stream bool
	follow bool
}

// Timeline answers what happened to an invocation: as one page, or as a stream.
func (a *API) Timeline(w http.ResponseWriter, r *http.Request, tenant string) error {
	q, err := parseTimeline(r)
	if err != nil {
		return err
	}
	w = stallWriter{w, a.stall}
	if q.follow {
		return a.follow(r.Context(), newEventWriter(w), tenant, q)
	}
	return a.timeline(r.Context(), w, tenant, q)
}

// timeline answers what is there.
func (a *API) timeline(ctx context.Context, w http.ResponseWriter, tenant string, q timelineRequest) error {
	done, err := a.limits.telling(ctx, tenant)
	if err != nil {
		return unavailable(err)
	}
	defer done()
	c, err := a.cast(ctx, tenant, q.id, q.who)
	if err != nil {
		return err
	}
	t, err := a.tell(ctx, tenant, c, q.after)
	if err != nil {
		return unavailable(err)
	}
	if q.stream {
		return streamEvents(ctx, newEventWriter(w), t, q)
	}
	page, err := t.page(ctx, q)
	if err != nil {
		return err
	}
	return writeJSON(w, page)
}

func parseTimeline(r *http.Request) (q timelineRequest, err error) {
	var p params
	if q.id, p, err = parse(r, "relatives", "depth", "limit", "cursor", "follow"); err != nil {
		return q, err
	}
	for _, name := range p.list("relatives") {
		switch name {
		case "callers":
			q.who.callers = true
		case "callees":
			q.who.callees = true
		default:
			return q, invalid("unknown relatives %s (valid: callers, callees)", quote(name))
		}
	}
	if q.who.depth, err = p.number("depth", maxDepth); err != nil {
		return q, err
	}
	if q.who.depth == 0 {
		q.who.depth = defaultDepth
	}
	if q.limit, err = p.number("limit", maxEvents); err != nil {
		return q, err
	}
	if q.after, err = parseCursor(p.values.Get("cursor")); err != nil {
		return q, err
	}
	if q.follow, err = p.bool("follow"); err != nil {
		return q, err
	}
	q.stream = accepts(r.Header.Values("Accept"), ndjson)
	switch {
	case q.follow && !q.stream:
		return q, invalid("follow needs the header Accept: %s", ndjson)
	case q.follow && q.limit > 0:
		return q, invalid("give follow or limit, not both")
	case !q.stream && q.limit == 0:
		q.limit = defaultEvents
	}
	return q, nil
}

// accepts reports whether an Accept header names a media type.
func accepts(header []string, want string) bool {
	for item := range strings.SplitSeq(strings.Join(header, ","), ",") {
		if mediaType, _, err := mime.ParseMediaType(item); err == nil && mediaType == want {
			return true
		}
	}
	return false
}

// page reads a page.
func (t *telling) page(ctx context.Context, q timelineRequest) (Timeline, error) {
	page := Timeline{Events: []Event{}}
	for size := 0; ; {
		next, err := t.next(ctx, maxAsks)
		switch {
		case errors.Is(err, errPause):
			page.Next = t.reached().cursor()
		case err != nil:
			return page, unavailable(err)
		case next != nil:
			page.Events = append(page.Events, next.event)
			if size += next.size; len(page.Events) < q.limit && size < maxPageBytes {
				continue
			}
			page.Next = next.at.cursor()
		}
		break
	}
	if len(page.Events) == 0 && t.failure != nil {
		return page, unavailable(t.failure)
	}
	page.Gaps = t.gaps
	if page.Gaps == nil {
		page.Gaps = []string{}
	}
	return page, nil
}

// streamEvents writes a timeline as it is read.
func streamEvents(ctx context.Context, w *eventWriter, t *telling, q timelineRequest) error {
	end := End{Gaps: []string{}}
	for n := 0; q.limit == 0 || n < q.limit; n++ {
		next, err := t.next(ctx, 0)
		switch {
		case err != nil && n == 0:
			return unavailable(err)
		case err != nil:
			return nil // the client has gone
		case next == nil && n == 0 && t.failure != nil:
			return unavailable(t.failure)
		case next == nil:
			end.Next = ""
			return w.end(end, t.gaps)
		}
		if !w.event(next.event) {
			return nil
		}
		end.Next = next.at.cursor()
	}
	return w.end(end, t.gaps)
}

// eventWriter writes NDJSON.
type eventWriter struct {
	w   http.ResponseWriter
	buf *bufio.Writer
	enc *json.Encoder
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	e := &eventWriter{w: w, buf: bufio.NewWriterSize(w, 32<<10)}
	e.enc = json.NewEncoder(e.buf)
	e.enc.SetEscapeHTML(false)
	return e
}

// event writes an event, and reports whether the client still reads.
func (e *eventWriter) event(v Event) bool { return e.write(v) }

func (e *eventWriter) write(v any) bool {
	e.w.Header().Set("Content-Type", ndjson) // of no effect once the first bytes were sent
	return e.enc.Encode(v) == nil
}

// flush sends what was written, and reports whether the client still reads.
func (e *eventWriter) flush() bool {
	e.w.Header().Set("Content-Type", ndjson)
	return e.buf.Flush() == nil && http.NewResponseController(e.w).Flush() == nil
}

// end writes the last line.
func (e *eventWriter) end(v End, gaps []string) error {
	v.Gaps = append(v.Gaps, gaps...)
	if e.write(v) {
		e.flush()
	}
	return nil // a client that has gone away can't be told
}
