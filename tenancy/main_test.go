package tenancy

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock {
	return &clock{t: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func openTestKey(tb testing.TB) *Key {
	tb.Helper()
	key, err := GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func issue(tb testing.TB, key *Key, now func() time.Time, g Grant) string {
	tb.Helper()
	if g.Life == 0 {
		g.Life = DefaultLife
	}
	if g.Scopes == nil {
		g.Scopes = []Scope{LogsRead}
	}
	issued, err := NewSigner(key, now).Issue(g)
	if err != nil {
		tb.Fatal(err)
	}
	return issued.Token
}

func wantReason(tb testing.TB, err error, want Reason) {
	tb.Helper()
	if got := ReasonOf(err); got != want {
		tb.Fatalf("reason = %q (%v), want %q", got, err, want)
	}
}
