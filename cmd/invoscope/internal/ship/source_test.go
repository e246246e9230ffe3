package ship

import (
	"testing"
	"time"
)

func TestLineWithoutTime(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	timed := "2026-01-02T03:04:05Z INFO x"
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newStdin()
	for _, step := range []struct {
		name string
		line string
		now  time.Time
		want time.Time
	}{
		{"before any line with a time", "banner", now, now},
		{"with a time", timed, now, at},
		{"continues it", "  at a", now.Add(sameRecord), at.Add(1)},
		{"continues that", "  at a", now.Add(2 * sameRecord), at.Add(2)},
		{"comes long after", "listening", now.Add(time.Hour), now.Add(time.Hour)},
		{"continues one without a time", "again", now.Add(time.Hour), now.Add(time.Hour)},
		{"with a time again", timed, now.Add(2 * time.Hour), at},
	} {
		if got := s.date(step.line, step.now); !got.Equal(step.want) {
			t.Errorf("a line that %s: %v, want %v", step.name, got, step.want)
		}
	}
}
