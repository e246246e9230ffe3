package harness

import (
	"testing"
	"time"
)

// pollInterval is the pause between two tries of [Poll]. It is short beside what
// tests wait for and long beside a query.
const pollInterval = 200 * time.Millisecond

// Poll calls try until it returns nil. The test fails with try's last error when
// that takes longer than limit.
func Poll(t testing.TB, limit time.Duration, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
		<-ticker.C
	}
}
