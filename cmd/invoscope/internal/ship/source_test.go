package ship

import (
	"testing"
	"time"
)

func TestTimeOfALine(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	timed := "2026-01-02T03:04:05Z INFO x"
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	taken := at.Add(time.Minute)
	s := &source{}
	for _, step := range []struct {
		name string
		line string
		at   time.Time
		now  time.Time
		want time.Time
	}{
		{"before any line with a time", "banner", time.Time{}, now, now},
		{"with a time", timed, time.Time{}, now, at},
		{"continues it", "  at a", time.Time{}, now.Add(sameRecord), at.Add(1)},
		{"continues that", "  at a", time.Time{}, now.Add(2 * sameRecord), at.Add(2)},
		{"comes long after", "listening", time.Time{}, now.Add(time.Hour), now.Add(time.Hour)},
		{"continues one without a time", "again", time.Time{}, now.Add(time.Hour), now.Add(time.Hour)},
		{"with a time again", timed, time.Time{}, now.Add(2 * time.Hour), at},
		{"with a time and taken", timed, taken, now, at},
		{"only taken", "text", taken, now.Add(time.Hour), taken},
		{"taken in the same microsecond", "text", taken, now.Add(time.Hour), taken.Add(1)},
		{"taken then, too", "text", taken, now.Add(time.Hour), taken.Add(2)},
		{"taken later", "text", taken.Add(time.Microsecond), now.Add(time.Hour), taken.Add(time.Microsecond)},
		{"taken before", "text", taken.Add(-time.Second), now.Add(time.Hour), taken.Add(-time.Second)},
	} {
		if got := s.date(step.line, step.at, step.now); !got.Equal(step.want) {
			t.Errorf("a line %s: %v, want %v", step.name, got, step.want)
		}
	}
}
