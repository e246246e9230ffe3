package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

const day = 24 * time.Hour

// span is a length of time on the command line: 30d, 12h, 1h30m.
type span time.Duration

// UnmarshalText is for kong.
func (s *span) UnmarshalText(text []byte) error {
	if d, err := model.ParseDuration(string(text)); err == nil {
		*s = span(d)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("want a duration such as 30d, 12h or 90m, not %q", text)
	}
	*s = span(d)
	return nil
}

// moment is a time on the command line: a date, or a distance from now.
type moment struct {
	date time.Time
	from span
	set  bool
}

// UnmarshalText is for kong.
func (m *moment) UnmarshalText(text []byte) error {
	*m = moment{set: true}
	if string(text) == "now" {
		return nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			m.date = t
			return nil
		}
	}
	if err := m.from.UnmarshalText(text); err != nil {
		return fmt.Errorf("want a time such as 2026-11-23T12:00:00Z, 2026-11-23, now, or a duration such as 30d, not %q", text)
	}
	return nil
}

// before returns the time, a distance counting back from now.
func (m moment) before(now time.Time) time.Time { return m.at(now, -1) }

// after returns the time, a distance counting on from now.
func (m moment) after(now time.Time) time.Time { return m.at(now, 1) }

func (m moment) at(now time.Time, sign time.Duration) time.Time {
	if !m.date.IsZero() {
		return m.date
	}
	return now.Add(sign * time.Duration(m.from))
}

// days is a length of time for people, in its largest unit and rounded.
func days(d time.Duration) string {
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"day", day}, {"hour", time.Hour}, {"minute", time.Minute}} {
		// Hours until there are two days of them, and so on.
		if d >= 2*unit.size || unit.size == time.Minute && d >= unit.size {
			return plural(int((d+unit.size/2)/unit.size), unit.name)
		}
	}
	return plural(int(d.Round(time.Second)/time.Second), "second")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// away says how far t is from now.
func away(t, now time.Time) string {
	switch d := t.Sub(now); {
	case d >= time.Second:
		return "in " + days(d)
	case d <= -time.Second:
		return days(-d) + " ago"
	}
	return "now"
}

// stamp is a time, and how far it is from now; "-" if it isn't known.
func stamp(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339) + " (" + away(t, now) + ")"
}
