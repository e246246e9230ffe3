package invocation

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/relay/fault"
)

// maxQuoted bounds what an error quotes of a request, in bytes.
const maxQuoted = 64

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fmt.Sprintf(format, args...))
}

// quote is a stranger's text in an error.
func quote(s string) string {
	if len(s) > maxQuoted {
		s = strings.ToValidUTF8(s[:maxQuoted], "") + "…"
	}
	return strconv.Quote(s)
}

// parse returns the id in a request's path, and its parameters, which must be
// among known.
func parse(r *http.Request, known ...string) (correlate.InvocationID, params, error) {
	p, err := parseParams(r, known...)
	if err != nil {
		return none, p, err
	}
	id, err := correlate.ParseInvocationID(r.PathValue("id"))
	if err != nil {
		return none, p, invalid("%s is not an invocation id, which is inv_1 and 33 letters or digits that encode one", quote(r.PathValue("id")))
	}
	return id, p, nil
}

// params are a request's parameters. What they hold is checked when it is asked
// for.
type params struct{ values url.Values }

// parseParams refuses parameters that aren't known: one that is spelled wrong
// would have no effect, and nobody would notice.
func parseParams(r *http.Request, known ...string) (params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return params{}, invalid("the query string is malformed")
	}
	for name, all := range values {
		if !slices.Contains(known, name) {
			if len(known) == 0 {
				return params{}, invalid("unknown parameter %s: there are none", quote(name))
			}
			return params{}, invalid("unknown parameter %s (valid: %s)", quote(name), strings.Join(known, ", "))
		}
		if len(all) > 1 && name != "outcome" && name != "relatives" {
			return params{}, invalid("the parameter %s is given more than once", name)
		}
	}
	return params{values}, nil
}

// list is a parameter that may be repeated and may hold commas.
func (p params) list(name string) []string {
	var all []string
	for _, v := range p.values[name] {
		for item := range strings.SplitSeq(v, ",") {
			if item = strings.TrimSpace(item); item != "" {
				all = append(all, item)
			}
		}
	}
	return all
}

// number is a whole number from 1 to most, or 0 when it isn't given.
func (p params) number(name string, most int) (int, error) {
	text := p.values.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, invalid("%s: want a number from 1 to %d, not %s", name, most, quote(text))
	}
	return n, nil
}

func (p params) bool(name string) (bool, error) {
	text := p.values.Get(name)
	if text == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, invalid("%s: want true or false, not %s", name, quote(text))
	}
	return b, nil
}

// span is the time span from and to, or since; zero times are open.
func (p params) span(now time.Time) (from, to time.Time, err error) {
	if from, err = p.time("from"); err != nil {
		return from, to, err
	}
	if to, err = p.time("to"); err != nil {
		return from, to, err
	}
	if text := p.values.Get("since"); text != "" {
		ago, err := parseDuration(text)
		switch {
		case err != nil || ago < 0:
			return from, to, invalid("since: want a time span such as 90m, 12h or 7d, not %s", quote(text))
		case !from.IsZero():
			return from, to, invalid("give from or since, not both")
		}
		from = now.Add(-ago)
		if !to.IsZero() {
			from = to.Add(-ago)
		}
	}
	if !from.IsZero() && !to.IsZero() && from.After(to) {
		return from, to, invalid("from is later than to")
	}
	return from, to, nil
}

func parseDuration(text string) (time.Duration, error) {
	if d, err := model.ParseDuration(text); err == nil {
		return time.Duration(d), nil
	}
	return time.ParseDuration(text)
}

func (p params) time(name string) (time.Time, error) {
	text := p.values.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return t, invalid("%s: want RFC 3339 such as 2026-01-02T15:04:05Z, or unix time in seconds or nanoseconds, not %s", name, quote(text))
	}
	return t, nil
}

var errTime = errors.New("not a time that nanoseconds since 1970 can tell")

// parseTime reads a time as Loki does (loghttp's parseTimestamp): numbers of up
// to ten digits, or with a point, are seconds and longer ones nanoseconds.
func parseTime(text string) (time.Time, error) {
	const secondsDigits = 10
	t, err := time.Parse(time.RFC3339Nano, text)
	if n, errInt := strconv.ParseInt(text, 10, 64); errInt == nil {
		if t, err = time.Unix(n, 0), nil; len(text) > secondsDigits {
			t = time.Unix(0, n)
		}
	} else if f, errFloat := strconv.ParseFloat(text, 64); errFloat == nil && strings.Contains(text, ".") {
		s, fraction := math.Modf(f)
		t, err = time.Unix(int64(s), int64(math.Round(fraction*1000))*int64(time.Millisecond)), nil
		if math.IsNaN(f) || math.Abs(f) >= float64(maxSeconds) {
			err = errTime
		}
	}
	if s := t.Unix(); err != nil || s <= -maxSeconds || s >= maxSeconds {
		return time.Time{}, errTime
	}
	return t.UTC(), nil
}

// maxSeconds is from when on, in seconds since 1970, nanoseconds overflow.
const maxSeconds = math.MaxInt64 / int64(time.Second)
