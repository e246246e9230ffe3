package keyset

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// Strangers choose "kid" freely: however many they make up, and whatever they look
// like, the provider is asked once and nothing else is.
func TestStormOfUnknownKids(t *testing.T) {
	p := newPair(t, "ES256")
	bubble(t, func(t *testing.T) {
		good := answers(http.StatusOK, jwks(t, p.jwk(t, "p", nil)))
		w := watch(t, &provider{answer: good}, Options{})
		w.set(func(r *http.Request) (*http.Response, error) {
			time.Sleep(5 * time.Second)
			return good(r)
		})
		var all sync.WaitGroup
		var waiting atomic.Int32
		for n := range 10_000 {
			all.Go(func() {
				waiting.Add(1)
				if keys := w.Keys(fmt.Sprintf("../../%d?x=http://evil.example.com/\r\n\x00", n)); len(keys) != 0 {
					t.Errorf("%d keys", len(keys))
				}
				waiting.Add(-1)
			})
		}
		synctest.Wait()
		if n := waiting.Load(); n == 0 || n > maxWaiting {
			t.Errorf("%d requests wait, want at most %d", n, maxWaiting)
		}
		if d := took(func() { accepted(t, w.Set, p.token(t, "p")) }); d != 0 {
			t.Errorf("a good token had to wait for %v", d)
		}
		if d := took(all.Wait); d > maxWait {
			t.Errorf("some waited for %v", d)
		}
		time.Sleep(20 * time.Second)
		w.Keys("one more")
		for _, url := range w.urls {
			if url != keysURL {
				t.Errorf("asked for %q", url)
			}
		}
		if w.requests() != 2 {
			t.Errorf("%d requests, want the first and one more", w.requests())
		}
	})
}

func TestUnknownKidsForAnHour(t *testing.T) {
	p := newPair(t, "ES256")
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"up": answers(http.StatusOK, jwks(t, p.jwk(t, "p", nil))), "down": down, "hanging": hangs,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := watch(t, &provider{answer: answer}, Options{})
				for start := time.Now(); time.Since(start) < time.Hour; time.Sleep(100 * time.Millisecond) {
					w.Keys("unknown")
				}
				// Each 30 seconds because of the tokens, and each minute or so by itself.
				if n := w.requests(); n > 120+120 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// A rotation is noticed although a stranger used up what a token may ask for.
func TestRotationDuringAStorm(t *testing.T) {
	a, b := newPair(t, "ES256"), newPair(t, "ES256")
	bubble(t, func(t *testing.T) {
		w := watch(t, &provider{answer: answers(http.StatusOK, jwks(t, a.jwk(t, "a", nil)))}, Options{})
		w.Keys("unknown")
		w.serves(jwks(t, b.jwk(t, "b", nil)))
		refused(t, w.Set, b.token(t, "b"))
		time.Sleep(askAgain)
		accepted(t, w.Set, b.token(t, "b"))
	})
}

// A token that names no key asks for none: no fetch would tell which is meant.
func TestTokenWithoutAKidCausesNoFetch(t *testing.T) {
	p := newPair(t, "ES256")
	bubble(t, func(t *testing.T) {
		keys := []jwk{p.jwk(t, "p", nil)}
		for n := range tenancy.MaxKeys {
			keys = append(keys, p.jwk(t, fmt.Sprint(n), nil))
		}
		w := watch(t, &provider{answer: answers(http.StatusOK, jwks(t, keys...))}, Options{})
		refused(t, w.Set, p.token(t, ""))
		if w.requests() != 1 {
			t.Errorf("%d requests", w.requests())
		}
	})
}
