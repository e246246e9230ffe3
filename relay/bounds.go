package relay

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy/limits"
)

// bounds are what a query of some tenants may ask for.
type bounds struct {
	relay   *Relay
	tenants []string
	limits  limits.Limits
}

// check refuses a query that asks for more, in the words of the engine. What it
// can't read it refuses, too: the engine might read it.
type check func(b bounds, req *http.Request) error

func (r *Relay) boundsOf(tenants []string) bounds {
	return bounds{relay: r, tenants: tenants, limits: r.limits.Of(tenants...)}
}

func (b bounds) any() bool { return b.limits.MaxQueryRange > 0 || b.limits.MaxQueryLimit > 0 }

func (b bounds) refuse(kind limits.Kind, format string, args ...any) error {
	b.relay.limits.Refused(kind, b.tenants...)
	return invalid(format, args...)
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fmt.Sprintf(format, args...))
}

// What the engines take for a limit that isn't given: pkg/loghttp/params.go of Loki,
// modules/frontend/config.go of Tempo.
const (
	lokiDefaultLimit  = 100
	tempoDefaultLimit = 20
	// defaultSince is how far a query reaches back that doesn't say; both have it.
	defaultSince = time.Hour
)

// lokiRange checks a query of Loki that has a time range, and lokiLines one that has
// a number of lines as well.
func lokiRange(b bounds, req *http.Request) error {
	form, err := formOf(req)
	if err != nil {
		return err
	}
	return b.lokiRange(form)
}

func lokiLines(b bounds, req *http.Request) error {
	form, err := formOf(req)
	if err != nil {
		return err
	}
	if err := b.lokiLimit(form, "limit"); err != nil {
		return err
	}
	return b.lokiRange(form)
}

// lokiSamples checks what looks at a number of lines to find out something else.
func lokiSamples(b bounds, req *http.Request) error {
	form, err := formOf(req)
	if err != nil {
		return err
	}
	if err := b.lokiLimit(form, "line_limit"); err != nil {
		return err
	}
	return b.lokiRange(form)
}

// lokiInstant checks a query at one time.
func lokiInstant(b bounds, req *http.Request) error {
	form, err := formOf(req)
	if err != nil {
		return err
	}
	return b.lokiLimit(form, "limit")
}

func (b bounds) lokiRange(form url.Values) error {
	length, err := b.length(form)
	if err != nil {
		return err
	}
	if most := b.limits.MaxQueryRange; most > 0 && length > most {
		return b.refuse(limits.QueryRange, "the query time range exceeds the limit (query length: %s, limit: %s)", length, model.Duration(most))
	}
	return nil
}

func (b bounds) lokiLimit(form url.Values, name string) error {
	asked := numberOf(form.Get(name), lokiDefaultLimit)
	if most := b.limits.MaxQueryLimit; most > 0 && asked > most {
		return b.refuse(limits.QueryLimit, "max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", asked, most)
	}
	return nil
}

// tempoMetricsRange checks a query of TraceQL metrics.
func tempoMetricsRange(b bounds, req *http.Request) error {
	length, err := b.length(req.URL.Query())
	if err != nil {
		return err
	}
	if most := b.limits.MaxQueryRange; most > 0 && length > most {
		return b.refuse(limits.QueryRange, "metrics query time range exceeds the maximum allowed duration of %s", most)
	}
	return nil
}

// tempoTagsRange checks a request whose range is in seconds.
func tempoTagsRange(b bounds, req *http.Request) error {
	return b.tempoParams(req.URL.Query())
}

// tempoParams checks the range of the parameters start and end, in seconds.
func (b bounds) tempoParams(params url.Values) error {
	start, err := secondsParam(params, "start")
	if err != nil {
		return err
	}
	end, err := secondsParam(params, "end")
	if err != nil {
		return err
	}
	return b.tempoRange(start, end)
}

// tempoRange checks a range in seconds since 1970; one without both ends is that of
// the most recent data, whatever its length.
func (b bounds) tempoRange(start, end uint32) error {
	most := b.limits.MaxQueryRange
	if most > 0 && end > start && time.Duration(end-start)*time.Second > most {
		return b.refuse(limits.QueryRange, "range specified by start and end exceeds %s. received start=%d end=%d", most, start, end)
	}
	return nil
}

// tempoLimits checks how many traces a search asks for, and how many spans of each.
func (b bounds) tempoLimits(traces, spans int64) error {
	most := b.limits.MaxQueryLimit
	switch {
	case most == 0:
		return nil
	case traces > most:
		return b.refuse(limits.QueryLimit, "limit %d exceeds max limit %d", traces, most)
	case spans > most:
		return b.refuse(limits.QueryLimit, "spans per span set exceeds %d. received %d", most, spans)
	}
	return nil
}

// length is that of the range that parameters ask for, as both engines read them
// (determineBounds in Loki's pkg/loghttp/params.go and Tempo's pkg/api/http.go).
func (b bounds) length(params url.Values) (time.Duration, error) {
	now, since := b.relay.now(), defaultSince
	if text := params.Get("since"); text != "" {
		d, err := model.ParseDuration(text)
		if err != nil {
			return 0, invalid("could not parse 'since' parameter: %v", err)
		}
		since = time.Duration(d)
	}
	end, err := timeOf(params.Get("end"), now)
	if err != nil {
		return 0, invalid("could not parse 'end' parameter: %v", err)
	}
	latest := end
	if end.After(now) {
		latest = now
	}
	start, err := timeOf(params.Get("start"), latest.Add(-since))
	if err != nil {
		return 0, invalid("could not parse 'start' parameter: %v", err)
	}
	return end.Sub(start), nil
}

// timeOf reads a time as both engines do: numbers of up to ten digits, or with a
// point, are seconds and longer ones nanoseconds.
func timeOf(text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	if strings.Contains(text, ".") {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			s, fraction := math.Modf(f)
			return time.Unix(int64(s), int64(math.Round(fraction*1000)/1000*float64(time.Second))), nil
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Parse(time.RFC3339Nano, text)
	}
	if len(text) <= secondsDigits {
		return time.Unix(n, 0), nil
	}
	return time.Unix(0, n), nil
}

// secondsDigits is how long a number may be that is of seconds.
const secondsDigits = 10

// numberOf reads a number; the engine says what is wrong with one that is none.
func numberOf(text string, otherwise int64) int64 {
	if text == "" {
		return otherwise
	}
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

func secondsParam(params url.Values, name string) (uint32, error) {
	text := params.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, invalid("invalid %s: %v", name, err)
	}
	return uint32(n), nil
}

// maxForm bounds a query that comes as a form, in bytes.
const maxForm = 1 << 20

// formOf returns the parameters of a query as Loki reads them, from its URL and, if
// it is a form, its body, which is there to be read again. What is malformed in them
// is left out: the engine says so, or does the same.
func formOf(req *http.Request) (url.Values, error) {
	if req.Method != http.MethodPost {
		return req.URL.Query(), nil
	}
	if mediaType, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err == nil && strings.HasPrefix(mediaType, "multipart/") {
		return nil, fault.New(fault.UnsupportedMedia, "a query can't be multipart: send it as application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, maxForm+1))
	switch {
	case err != nil:
		return nil, invalid("the request's body can't be read: %v", err)
	case len(body) > maxForm:
		return nil, fault.New(fault.TooLarge, fmt.Sprintf("the query is larger than %d bytes", maxForm))
	}
	parsed := req.Clone(req.Context())
	parsed.Body = io.NopCloser(bytes.NewReader(body))
	_ = parsed.ParseForm()
	req.Body = &prefixed{Reader: bytes.NewReader(body), Closer: req.Body}
	return parsed.Form, nil
}
