package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/tenancy"
)

func TestMain(m *testing.M) {
	if role() {
		return
	}
	goleak.VerifyTestMain(m)
}

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

func newStore(tb testing.TB) (*Store, *clock) {
	tb.Helper()
	c := newClock()
	return Open(tb.TempDir(), c.now), c
}

func signingKey(tb testing.TB, s *Store) *tenancy.Key {
	tb.Helper()
	key, err := s.SigningKey()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// grant is one for acme, changed.
func grant(change func(*tenancy.Grant)) tenancy.Grant {
	g := tenancy.Grant{Tenant: "acme", Subject: "ci", Scopes: []tenancy.Scope{tenancy.LogsRead}, Life: tenancy.DefaultLife}
	if change != nil {
		change(&g)
	}
	return g
}

func issue(tb testing.TB, s *Store, kind Kind, change func(*tenancy.Grant)) (string, Token) {
	tb.Helper()
	token, made, err := s.Issue(grant(change), kind)
	if err != nil {
		tb.Fatal(err)
	}
	return token, made
}

func revoke(tb testing.TB, s *Store, r tenancy.Revocation) {
	tb.Helper()
	if _, err := s.Revoke(r, "", time.Time{}); err != nil {
		tb.Fatal(err)
	}
}

func writeFile(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func readAll(tb testing.TB, path string) string {
	tb.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(content)
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %#o, want %#o", path, got, want)
	}
}

// wantEntries fails when something else, such as a temporary file, is left in dir.
func wantEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s holds %v, want %v", dir, got, want)
	}
}
