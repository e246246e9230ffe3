package tenancy

import (
	"encoding/base64"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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

// ownAuthenticator accepts what the daemon signs itself.
func ownAuthenticator(key *Key, now func() time.Time) *Authenticator {
	return NewAuthenticator(Policy{Issuers: []Issuer{Own(key.Keys())}}, now)
}

func bearer(token string) Caller { return Caller{Authorization: []string{"Bearer " + token}} }

// sameIdentity compares all that a caller of this package sees.
func sameIdentity(tb testing.TB, want, got Identity) {
	tb.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Identity{})); diff != "" {
		tb.Errorf("identity (-want +got):\n%s", diff)
	}
}

// keySet is a [KeySet] that a test changes.
type keySet struct {
	mu         sync.Mutex
	keys       []PublicKey
	generation uint64
	asked      []string // kids
}

func (s *keySet) Keys(kid string) []PublicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, kid)
	return s.keys
}

func (s *keySet) Generation() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

func (s *keySet) set(keys ...PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.generation = keys, s.generation+1
}

// mint signs header and payload, which are JSON, as they are.
func mint(tb testing.TB, algorithm string, key any, header, payload string) string {
	tb.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	signature, err := jwt.GetSigningMethod(algorithm).Sign(signed, key)
	if err != nil {
		tb.Fatal(err)
	}
	return signed + "." + encode(signature)
}
