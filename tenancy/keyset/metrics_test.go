package keyset

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// newTestMetrics returns metrics and what they say, a line for each series, in order.
func newTestMetrics() (*Metrics, func(t *testing.T) []string) {
	r := prometheus.NewPedanticRegistry()
	return NewMetrics(r), func(t *testing.T) []string {
		t.Helper()
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, f := range families {
			for _, m := range f.GetMetric() {
				line := f.GetName()
				for _, l := range m.GetLabel() {
					line += " " + l.GetValue()
				}
				all = append(all, fmt.Sprint(line, " ", m.GetGauge().GetValue()+m.GetCounter().GetValue()))
			}
		}
		return all
	}
}

func wantSeries(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestMetrics(t *testing.T) {
	p := newPair(t, "ES256")
	bubble(t, func(t *testing.T) { // begins at midnight, 2000-01-01
		metrics, gathered := newTestMetrics()
		w := watch(t, &provider{answer: down}, Options{Metrics: metrics, JWKSURL: keysURL + "?secret=s", Issuer: "joe"})
		wantSeries(t, gathered(t),
			"invoscope_keyset_keys joe "+keysURL+" 0",
			"invoscope_keyset_last_success_timestamp_seconds joe "+keysURL+" 0",
			"invoscope_keyset_refreshes_total joe failed "+keysURL+" 1",
			"invoscope_keyset_refreshes_total joe ok "+keysURL+" 0")
		w.serves(jwks(t, p.jwk(t, "p", nil)))
		time.Sleep(2 * time.Second)
		good := gathered(t)
		if at := fmt.Sprintf("invoscope_keyset_last_success_timestamp_seconds joe %s %v", keysURL, seconds(w.Status().Fetched)); good[1] != at {
			t.Errorf("%q, want %q", good[1], at)
		}
		wantSeries(t, slices.Delete(slices.Clone(good), 1, 2),
			"invoscope_keyset_keys joe "+keysURL+" 1",
			"invoscope_keyset_refreshes_total joe failed "+keysURL+" 1",
			"invoscope_keyset_refreshes_total joe ok "+keysURL+" 1")

		// The set that takes its place goes on with the same series, while the old one ends.
		next := watch(t, &provider{answer: hangs}, Options{Metrics: metrics, JWKSURL: keysURL + "?secret=s", Issuer: "joe"})
		next.stop()
		next = nextOf(t, w, metrics)
		w.stop()
		wantSeries(t, gathered(t), good...)
		next.stop()
		wantSeries(t, gathered(t))
	})
}

// nextOf is a set that adopts the keys of w and whose provider doesn't answer.
func nextOf(t *testing.T, w *watched, metrics *Metrics) *watched {
	t.Helper()
	o, log := logged(w.Set.opts)
	o.Metrics = metrics
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Adopt(w.Set)
	p := &provider{answer: hangs}
	s.client.Transport = p
	return run(t, &watched{Set: s, provider: p, log: log})
}

func TestMetricsOfFiles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		metrics, gathered := newTestMetrics()
		file := write(t, newPair(t, "EdDSA").pem(t))
		secret := write(t, make([]byte, 64))
		for _, o := range []Options{{File: file, Issuer: "a"}, {SecretFile: secret, Issuer: "b"}} {
			o.Metrics = metrics
			w := run(t, &watched{Set: open(t, o)})
			defer w.stop()
		}
		wantSeries(t, gathered(t), "invoscope_keyset_keys a "+file+" 1", "invoscope_keyset_keys b "+secret+" 1")
	})
}

func TestLogHasNoQuery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := watch(t, &provider{answer: down}, Options{JWKSURL: keysURL + "?code=hidden"})
		w.set(answers(http.StatusForbidden, "hidden"))
		time.Sleep(time.Minute)
		w.set(answers(http.StatusOK, `{"keys":[{"kty":"oct","k":"hidden"},{"kty":"RSA","d":"hidden"}]}`))
		time.Sleep(time.Hour)
		if log := w.log.String(); !contains(log, "403", "connection refused", "never taken from a URL", "private key") || contains(log, "hidden") {
			t.Errorf("logged %s", log)
		}
	})
}
