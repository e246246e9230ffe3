package keyset

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestProviderThatIsDownAtFirst(t *testing.T) {
	p := newPair(t, "ES256")
	bubble(t, func(t *testing.T) {
		w := watch(t, &provider{answer: down}, Options{})
		if len(w.Keys("p")) != 0 || w.Status().Err == nil || !w.Status().Fetched.IsZero() {
			t.Errorf("status %+v", w.Status())
		}
		time.Sleep(10 * time.Minute)
		if n := w.requests(); n < 10 || n > 30 {
			t.Errorf("%d requests in 10 minutes, want some 15: they back off to a minute and a half at most", n)
		}
		w.serves(jwks(t, p.jwk(t, "p", nil)))
		time.Sleep(90*time.Second + time.Millisecond)
		accepted(t, w.Set, p.token(t, "p"))
		if w.Status().Err != nil || w.Status().Fetched.IsZero() || w.Status().Keys != 1 {
			t.Errorf("status %+v", w.Status())
		}
	})
}

func TestKeysWaitsForTheFirstFetch(t *testing.T) {
	p := newPair(t, "ES256")
	bubble(t, func(t *testing.T) {
		good := answers(http.StatusOK, jwks(t, p.jwk(t, "p", nil)))
		w := watch(t, &provider{answer: func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return good(r)
		}}, Options{})
		accepted(t, w.Set, p.token(t, "p"))
		accepted(t, w.Set, p.token(t, ""))
	})
}

func TestKeysWaitsAtMostTwoSeconds(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){"no answer": hangs, "endless body": slow} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := watch(t, &provider{answer: answer}, Options{})
				if d := took(func() { w.Keys("p") }); d != maxWait {
					t.Errorf("waited %v", d)
				}
				time.Sleep(fetchTimeout)
				if err := w.Status().Err; err == nil || !strings.Contains(err.Error(), "deadline") {
					t.Errorf("after 10 seconds the error is %v", err)
				}
			})
		})
	}
}

// What a provider may answer, and the keys stay as they were.
func TestLastGoodKeysStay(t *testing.T) {
	p := newPair(t, "ES256")
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){
		"down":         down,
		"no answer":    hangs,
		"endless body": slow,
		"error":        answers(http.StatusInternalServerError, jwks(t)),
		"not found":    answers(http.StatusNotFound, jwks(t, p.jwk(t, "q", nil))),
		"no content":   answers(http.StatusNoContent, ""),
		"empty answer": answers(http.StatusOK, ""),
		"HTML":         answers(http.StatusOK, "<html>Down for maintenance</html>"),
		"empty set":    answers(http.StatusOK, jwks(t)),
		"nothing used": answers(http.StatusOK, jwks(t, p.jwk(t, "p", jwk{"use": "enc"}))),
		"huge":         answers(http.StatusOK, `{"keys":[`+strings.Repeat(" ", maxBytes)+"]}"),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := watch(t, &provider{answer: answers(http.StatusOK, jwks(t, p.jwk(t, "p", nil)))}, Options{})
				generation, fetched := w.Generation(), w.Status().Fetched
				w.set(answer)
				time.Sleep(30 * time.Minute)
				accepted(t, w.Set, p.token(t, "p"))
				if s := w.Status(); w.Generation() != generation || s.Err == nil || !s.Fetched.Equal(fetched) {
					t.Errorf("generation %d, was %d; status %+v", w.Generation(), generation, s)
				}
				if n := strings.Count(w.log.String(), "level=WARN"); n != 1 {
					t.Errorf("%d warnings, want one:\n%s", n, w.log)
				}
				w.serves(jwks(t, p.jwk(t, "p", nil)))
				time.Sleep(2 * time.Minute)
				if err := w.Status().Err; err != nil || !strings.Contains(w.log.String(), "works again") {
					t.Errorf("after it is back: %v, %s", err, w.log)
				}
			})
		})
	}
}

// Each outage begins with short pauses.
func TestOutageAfterAnOutage(t *testing.T) {
	p := newPair(t, "ES256")
	good := answers(http.StatusOK, jwks(t, p.jwk(t, "p", nil)))
	bubble(t, func(t *testing.T) {
		w := watch(t, &provider{answer: down}, Options{})
		time.Sleep(time.Hour)
		w.set(good)
		time.Sleep(20 * time.Minute)
		w.set(down)
		w.Keys("unknown")
		w.set(good)
		time.Sleep(2 * time.Second)
		if err := w.Status().Err; err != nil {
			t.Errorf("two seconds after a failure: %v", err)
		}
	})
}

func TestRefreshEachInterval(t *testing.T) {
	p := newPair(t, "ES256")
	bubble(t, func(t *testing.T) {
		w := watch(t, &provider{answer: answers(http.StatusOK, jwks(t, p.jwk(t, "p", nil)))}, Options{Refresh: time.Minute})
		time.Sleep(100 * time.Minute)
		if n := w.requests(); n < 90 || n > 112 {
			t.Errorf("%d requests in 100 minutes, want some 100", n)
		}
	})
}

func TestRotation(t *testing.T) {
	a, b := newPair(t, "RS256"), newPair(t, "ES256")
	bubble(t, func(t *testing.T) {
		w := watch(t, &provider{answer: answers(http.StatusOK, jwks(t, a.jwk(t, "a", nil)))}, Options{})
		generation := w.Generation()

		w.serves(jwks(t, a.jwk(t, "a", nil), b.jwk(t, "b", nil)))
		accepted(t, w.Set, b.token(t, "b")) // at once
		accepted(t, w.Set, a.token(t, "a"))
		if w.requests() != 2 || w.Generation() != generation {
			t.Errorf("%d requests; generation %d, was %d", w.requests(), w.Generation(), generation)
		}

		w.serves(jwks(t, b.jwk(t, "b", nil)))
		accepted(t, w.Set, a.token(t, "a")) // we don't know yet
		time.Sleep(17 * time.Minute)
		refused(t, w.Set, a.token(t, "a"))
		accepted(t, w.Set, b.token(t, "b"))
		if w.Generation() == generation {
			t.Error("a key was taken away and the generation stayed")
		}
	})
}

func TestGenerationChangesWhenAKeyDoes(t *testing.T) {
	a, b := newPair(t, "RS256"), newPair(t, "RS256")
	for name, tc := range map[string]struct {
		next    []jwk
		changes bool
	}{
		"the same":          {[]jwk{a.jwk(t, "a", nil)}, false},
		"another beside it": {[]jwk{b.jwk(t, "b", nil), a.jwk(t, "a", nil)}, false},
		"another key":       {[]jwk{b.jwk(t, "a", nil)}, true},
		"another kid":       {[]jwk{a.jwk(t, "b", nil)}, true},
		"an alg":            {[]jwk{a.jwk(t, "a", jwk{"alg": "RS256"})}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := watch(t, &provider{answer: answers(http.StatusOK, jwks(t, a.jwk(t, "a", nil)))}, Options{})
				before := w.Generation()
				w.serves(jwks(t, tc.next...))
				time.Sleep(time.Hour)
				if got := w.Generation() != before; got != tc.changes {
					t.Errorf("changed %t, want %t", got, tc.changes)
				}
			})
		})
	}
}

func TestEndLetsGoOfWhoWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		metrics, gathered := newTestMetrics()
		w := watch(t, &provider{answer: hangs}, Options{Metrics: metrics})
		done := make(chan struct{})
		go func() {
			defer close(done)
			if d := took(func() { w.Keys("p") }); d != 0 {
				t.Errorf("waited for %v", d)
			}
		}()
		synctest.Wait()
		w.stop()
		<-done
		if d := took(func() { w.Keys("p") }); d != 0 {
			t.Errorf("after the end: waited for %v", d)
		}
		if w.Status().Err != nil || strings.Contains(w.log.String(), "failed") {
			t.Errorf("the end counts as a failure: %v, %s", w.Status().Err, w.log)
		}
		if got := gathered(t); len(got) != 0 {
			t.Errorf("metrics stay: %v", got)
		}
	})
}

// Before Run a set answers as well, for a daemon that is only starting.
func TestKeysBeforeRun(t *testing.T) {
	p := newPair(t, "ES256")
	bubble(t, func(t *testing.T) {
		o, log := logged(Options{JWKSURL: keysURL})
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		s.client.Transport = &provider{answer: answers(http.StatusOK, jwks(t, p.jwk(t, "p", nil)))}
		if d := took(func() { s.Keys("p") }); d != maxWait {
			t.Errorf("waited for %v", d)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			accepted(t, s, p.token(t, "p"))
		}()
		synctest.Wait()
		run(t, &watched{Set: s, log: log})
		<-done
	})
}

func TestAdopt(t *testing.T) {
	p := newPair(t, "ES256")
	bubble(t, func(t *testing.T) {
		old := watch(t, &provider{answer: answers(http.StatusOK, jwks(t, p.jwk(t, "p", nil)))}, Options{Tenant: "acme"})
		old.Keys("unknown") // waits for the first fetch
		old.Keys("unknown") // causes one
		for name, tc := range map[string]struct {
			o    Options
			want int
		}{
			"same":           {Options{JWKSURL: keysURL, Tenant: "acme"}, 1},
			"another tenant": {Options{JWKSURL: keysURL, Tenant: "globex"}, 1},
			"another URL":    {Options{JWKSURL: keysURL + "2"}, 0},
			"another issuer": {Options{JWKSURL: keysURL, Issuer: "x"}, 0},
			"discovery":      {Options{Discovery: true, Issuer: keysURL}, 0},
		} {
			o, _ := logged(tc.o)
			s, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			s.Adopt(old.Set)
			keys := s.match("p")
			if len(keys) != tc.want || len(keys) > 0 && keys[0].Tenant != tc.o.Tenant {
				t.Errorf("%s: %+v, want %d keys of tenant %q", name, keys, tc.want, tc.o.Tenant)
			}
			if tc.want > 0 && (s.asked.IsZero() || s.asked != old.asked) {
				t.Errorf("%s: a reload lets strangers have the provider asked again", name)
			}
		}
		if keys := old.Keys("p"); keys[0].Tenant != "acme" {
			t.Errorf("the old set's key is now of tenant %q", keys[0].Tenant)
		}
		file := open(t, Options{File: write(t, p.pem(t)), Issuer: keysURL})
		discovers := open(t, Options{Discovery: true, Issuer: keysURL})
		if discovers.Adopt(file); len(discovers.match("")) != 0 {
			t.Error("a set that is to discover its keys took those of a file")
		}
		file.Adopt(old.Set)
		old.Adopt(file)
		old.Adopt(nil)
		accepted(t, old.Set, p.token(t, "p"))
	})
}

// Everything at once, for the race detector.
func TestConcurrently(t *testing.T) {
	a, b := newPair(t, "ES256"), newPair(t, "ES256")
	w := watchForReal(t, jwks(t, a.jwk(t, "a", nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				w.Keys([]string{"a", "b", "", "c"}[(n+i)%4])
				w.Generation()
				w.Status()
			}
		})
	}
	for range 50 {
		for _, body := range []string{jwks(t, b.jwk(t, "b", nil)), jwks(t, a.jwk(t, "a", nil)), "rubbish"} {
			w.serves(body)
			if err := w.fetchNow(); (err != nil) != (body == "rubbish") {
				t.Error(err)
			}
		}
	}
	cancel()
	all.Wait()
}
