package correlate

import (
	"math"
	"strings"
	"time"
)

// What is outside of these years isn't a record's time, but a number or date of
// another kind. The seconds are the same bounds, counted from 1970.
const (
	firstYear, lastYear    = 2000, 2099
	firstSecond, endSecond = 946684800, 4102444800
)

// Timestamp is the time at which the record in line was written, in UTC, and
// whether there is one between the years 2000 and 2099:
//
//   - JSON: the first top-level member named timestamp, time, ts or @timestamp
//     that is an RFC 3339 string, or a number of seconds, milli-, micro- or
//     nanoseconds since 1970; which of them, its size says.
//   - compact and pretty: the RFC 3339 time that begins the line, coloured or
//     not. This also is the time that kubectl and CRI put before a line.
//   - SDK: the time in the second bracket.
//
// A JSON or SDK record behind another prefix is found as in [Facts.Extract].
// Times without an offset aren't taken. Nothing is allocated.
func Timestamp(line string) (time.Time, bool) {
	doc := line[afterSpace(line, 0):]
	for range maxWrapping {
		if strings.HasPrefix(doc, "{") {
			return jsonTime(doc)
		}
		if rest, ok := strings.CutPrefix(doc, sdkPrefix); ok {
			t, _, ok := parseTime(rest)
			return t, ok
		}
		if t, _, ok := parseTime(doc[afterColour(doc):]); ok {
			return t, true
		}
		doc = behindPrefix(doc)
	}
	return time.Time{}, false
}

// jsonTime reads the top-level members of doc until one is its time.
func jsonTime(doc string) (time.Time, bool) {
	depth := 0
	for i := 0; i < len(doc); i++ {
		switch doc[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return time.Time{}, false
			}
		case '"':
			end := stringEnd(doc, i+1)
			key := doc[i+1 : end]
			i = end
			if colon := afterSpace(doc, end+1); depth == 1 && colon < len(doc) && doc[colon] == ':' {
				if t, ok := memberTime(key, doc[afterSpace(doc, colon+1):]); ok {
					return t, true
				}
			}
		}
	}
	return time.Time{}, false
}

// memberTime reads the value that begins rest, if key is that of a time.
func memberTime(key, rest string) (time.Time, bool) {
	switch key {
	case "timestamp", "time", "ts", "@timestamp":
	default:
		return time.Time{}, false
	}
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		t, n, ok := parseTime(quoted)
		return t, ok && n < len(quoted) && quoted[n] == '"'
	}
	return parseEpoch(rest)
}

// parseTime reads the RFC 3339 time that begins s, and says how long it is.
// Digits beyond nanoseconds are dropped.
func parseTime(s string) (t time.Time, n int, ok bool) {
	const seconds = len("2006-01-02T15:04:05")
	if len(s) <= seconds || !isDated(s) || s[13] != ':' || s[16] != ':' {
		return t, 0, false
	}
	year, month, day := twoDigits(s)*100+twoDigits(s[2:]), twoDigits(s[5:]), twoDigits(s[8:])
	hour, minute, second := twoDigits(s[11:]), twoDigits(s[14:]), twoDigits(s[17:])
	if !(year >= firstYear && year <= lastYear && month <= 12 && hour >= 0 && hour < 24 &&
		minute >= 0 && minute < 60 && second >= 0 && second < 60) {
		return t, 0, false
	}
	n = seconds
	var nanos int
	if s[n] == '.' {
		var digits int
		nanos, digits = fraction(s[n+1:])
		if digits == 0 {
			return t, 0, false
		}
		n += 1 + digits
	}
	east, length, ok := offset(s[n:])
	if !ok {
		return t, 0, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if t.Day() != day || int(t.Month()) != month { // such as 30 February
		return time.Time{}, 0, false
	}
	return t.Add(-east), n + length, true
}

// offset reads the Z or ±hh:mm that begins s.
func offset(s string) (east time.Duration, n int, ok bool) {
	const length = len("+00:00")
	switch {
	case s == "":
		return 0, 0, false
	case s[0] == 'Z':
		return 0, 1, true
	case len(s) < length || s[0] != '+' && s[0] != '-' || s[3] != ':':
		return 0, 0, false
	}
	hours, minutes := twoDigits(s[1:]), twoDigits(s[4:])
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, 0, false
	}
	east = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if s[0] == '-' {
		east = -east
	}
	return east, length, true
}

// twoDigits is the number that begins s, or a negative one when s begins
// otherwise.
func twoDigits(s string) int {
	a, b := s[0]-'0', s[1]-'0'
	if a > 9 || b > 9 {
		return math.MinInt16
	}
	return int(a)*10 + int(b)
}

// fraction reads the digits that begin s as billionths.
func fraction(s string) (billionths, digits int) {
	scale := 100_000_000
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		billionths += int(s[digits]-'0') * scale
		scale /= 10
		digits++
	}
	return billionths, digits
}

// parseEpoch reads the number that begins s. Between 2000 and 2099 the ranges of
// the four units don't overlap.
func parseEpoch(s string) (time.Time, bool) {
	const digitsOfNanos = 19
	var whole int64
	n := 0
	for n < len(s) && n <= digitsOfNanos && s[n] >= '0' && s[n] <= '9' {
		whole = whole*10 + int64(s[n]-'0')
		n++
	}
	if n == 0 || n > digitsOfNanos || whole < 0 {
		return time.Time{}, false
	}
	var billionths int
	if n < len(s) && s[n] == '.' {
		var digits int
		billionths, digits = fraction(s[n+1:])
		n += 1 + digits
	}
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		return time.Time{}, false
	}
	for unit := int64(1); unit <= 1_000_000_000; unit *= 1000 {
		if seconds := whole / unit; seconds >= firstSecond && seconds < endSecond {
			nanos := whole % unit * (1_000_000_000 / unit)
			return time.Unix(seconds, nanos+int64(billionths)/unit).UTC(), true
		}
	}
	return time.Time{}, false
}
