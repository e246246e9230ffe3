package relay

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/traceql"
	"github.com/invoscope/invoscope/tenancy"
)

// lookupHeader, and over gRPC the metadata of that name in lower case, says "off"
// in a request that is not to be narrowed. In an answer it says what became of a
// query for one invocation: one of the results below.
const lookupHeader = "X-Invoscope-Lookup"

// What becomes of a query for one invocation. Only a narrowed one changes on its
// way to the engine.
const (
	lookupNarrowed = "narrowed"
	lookupUnknown  = "unknown" // the index knows no trace that it ran in
	lookupWide     = "wide"    // the engine might refuse as long a range
	lookupOff      = "off"     // for the tenant, or for this request
	lookupError    = "error"   // the index failed or took too long
)

const (
	// lookupTimeout bounds how long a query waits for the index. It answers in less
	// than a millisecond, but on a machine with more work than cores one in a hundred
	// took 50, and the search of a whole day that followed took half a second.
	lookupTimeout = 250 * time.Millisecond
	// lookupMargin is added at both ends of the range, in seconds: Tempo cuts times
	// to seconds.
	lookupMargin = 1
	// lookupMaxRange is the longest range, in seconds, that Tempo searches by default
	// (query_frontend.search.max_duration).
	lookupMaxRange = 7 * 24 * 60 * 60
)

// search is the part of a Tempo search that narrowing changes. The range is in
// seconds since 1970, as Tempo wants it; none is zero.
type search struct {
	query      string
	start, end uint32
}

// length is that of the range, in seconds; zero if there is none.
func (s search) length() uint32 {
	if s.start == 0 || s.end < s.start {
		return 0
	}
	return s.end - s.start
}

// tempoSearch passes a search over HTTP on to Tempo, narrowed if it asks for one
// invocation that the index knows.
func tempoSearch(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		b := r.boundsOf(readsFrom(req.Context()))
		params, asked, ok := searchFromURL(req.URL)
		narrow := search{}
		if ok {
			narrow, ok = r.lookUp(w, req, b, asked)
		}
		if err := b.tempoSearch(req.URL.Query(), narrow, ok); err != nil {
			return err
		}
		if !ok {
			return r.tempo(w, req, id)
		}
		params.Set("q", narrow.query)
		params.Set("start", strconv.FormatUint(uint64(narrow.start), 10))
		params.Set("end", strconv.FormatUint(uint64(narrow.end), 10))
		req = req.Clone(req.Context())
		req.URL.RawQuery = params.Encode()
		return r.tempo(w, req, id)
	}
}

// searchFromURL reads a search the way Tempo does. It isn't ok when Tempo would
// have something to say about it.
func searchFromURL(u *url.URL) (params url.Values, s search, ok bool) {
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(params["q"]) != 1 || params.Has("tags") {
		return nil, search{}, false
	}
	s.query = params.Get("q")
	for name, seconds := range map[string]*uint32{"start": &s.start, "end": &s.end} {
		if text := params.Get(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 31)
			if err != nil {
				return nil, search{}, false
			}
			*seconds = uint32(n)
		}
	}
	return params, s, true
}

// lookUp returns what to ask the engine for instead, if that isn't what was
// asked. When a query is for one invocation it says in the answer's header what
// became of it, and counts that. The index is asked for one tenant only.
func (r *Relay) lookUp(w http.ResponseWriter, req *http.Request, b bounds, asked search) (search, bool) {
	if r.opts.Index == nil || len(b.tenants) != 1 {
		return search{}, false
	}
	tenant := b.tenants[0]
	id, ok := traceql.InvocationID(asked.query)
	if !ok {
		return search{}, false
	}
	result, narrow := lookupOff, search{}
	if !strings.EqualFold(req.Header.Get(lookupHeader), lookupOff) && (r.opts.Lookups == nil || r.opts.Lookups(tenant)) {
		ctx, cancel := context.WithTimeout(req.Context(), lookupTimeout)
		defer cancel()
		record, since, err := r.known(ctx, tenant, id)
		switch {
		case err == nil:
			narrow, result = asked.narrow(id, &record, since, b.maxRange())
		case errors.Is(err, index.ErrNotFound):
			result = lookupUnknown
		default:
			result = lookupError
			r.opts.Log.InfoContext(req.Context(), "look up an invocation", "tenant", tenant, "err", err)
		}
	}
	r.metrics.lookups.WithLabelValues(result).Inc()
	w.Header().Set(lookupHeader, result)
	return narrow, result == lookupNarrowed
}

// known is what the index knows of an invocation, and from when on it knows all there
// was, in nanoseconds since 1970.
func (r *Relay) known(ctx context.Context, tenant string, id correlate.InvocationID) (index.Record, int64, error) {
	record, err := r.opts.Index.Get(ctx, tenant, id)
	if err != nil {
		return record, 0, err
	}
	since, err := r.opts.Index.Since(ctx, tenant)
	return record, since, err
}

// narrow returns the search for the spans of an invocation in the time that its
// traces take. What was asked for of the time before since stays in it: an id that
// comes from a key runs again and again, and the index may know only some of that. It
// doesn't become longer than most, in seconds, unless it was.
func (s search) narrow(id correlate.InvocationID, r *index.Record, since int64, most uint32) (search, string) {
	if r.MainTrace() == (index.TraceID{}) { // the index came too late, or is early
		return s, lookupUnknown
	}
	from, to := r.Traces[0].From, r.Traces[0].To
	for _, t := range r.Traces[1:] {
		from, to = min(from, t.From), max(to, t.To)
	}
	if r.MoreTraces { // its traces are the latest ones; the record's own times are those of all
		from, to = min(from, r.FirstSeen), max(to, r.LastSeen)
	}
	narrow := search{query: traceql.Spans(id), end: seconds(to, 1+lookupMargin)}
	narrow.start = min(seconds(from, -lookupMargin), narrow.end-1) // Tempo skips empty ranges
	if unsure := seconds(since, 1); s.start != 0 && s.start < unsure {
		narrow.start = min(narrow.start, s.start)
		narrow.end = max(narrow.end, min(s.end, unsure))
	}
	if narrow.length() > max(most, s.length()) {
		return s, lookupWide
	}
	return narrow, lookupNarrowed
}

// maxRange is how long a range of seconds may become that wasn't asked for.
func (b bounds) maxRange() uint32 {
	if most := b.limits.MaxQueryRange; most > 0 {
		return uint32(min(most/time.Second, lookupMaxRange))
	}
	return lookupMaxRange
}

// seconds is a time, in nanoseconds since 1970, with a margin added, as Tempo takes
// one: 31 bits, and zero is none.
func seconds(nanoseconds, margin int64) uint32 {
	s := nanoseconds/int64(time.Second) + margin
	return uint32(min(max(s, 1), math.MaxInt32))
}
