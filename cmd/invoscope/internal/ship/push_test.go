package ship

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
)

func TestOutageIsReportedOnceAndSurvived(t *testing.T) {
	relay := newRelay(t)
	statuses := []int{503, 500, 429}
	relay.behave(func(w http.ResponseWriter, r *http.Request, _ []push.Entry) bool {
		switch n := relay.tries - 1; {
		case n < len(statuses):
			http.Error(w, "later", statuses[n])
		case n == len(statuses): // a network error
			panic(http.ErrAbortHandler)
		default:
			return false
		}
		return true
	})
	o, log := options(t, relay)
	o.Stdin = strings.NewReader("a\nb\n")
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	for _, message := range []string{"WARN", "cannot reach", "delivering again", "waiting=2"} {
		if n := strings.Count(log.String(), message); n != 1 {
			t.Errorf("%q logged %d times: %s", message, n, log)
		}
	}
}

func TestTokenProblemsEndTheRun(t *testing.T) {
	for _, status := range []int{401, 403} {
		relay := newRelay(t)
		relay.behave(failWith(status))
		o, log := options(t, relay)
		o.Stdin = strings.NewReader("a\nb\n")
		_, err := Run(t.Context(), o)
		for _, want := range []string{o.TokenFile, "logs:write", "2 entries"} {
			if !strings.Contains(errText(err), want) {
				t.Errorf("%d: error %q does not say %q", status, errText(err), want)
			}
		}
		if strings.Contains(errText(err)+log.String(), testToken) {
			t.Errorf("%d: the token is printed", status)
		}
		if relay.tries != 1 {
			t.Errorf("%d: %d tries, want 1", status, relay.tries)
		}
	}
}

func TestTokenIsReadAgain(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	relay.behave(func(w http.ResponseWriter, r *http.Request, _ []push.Entry) bool {
		if r.Header.Get("Authorization") == "Bearer renewed" {
			return false
		}
		write(t, o.TokenFile, "renewed")
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	o.Stdin = strings.NewReader("a\n")
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a"}, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestOnlyBadLinesAreDropped(t *testing.T) {
	relay := newRelay(t)
	relay.behave(func(w http.ResponseWriter, _ *http.Request, entries []push.Entry) bool {
		bad := slices.ContainsFunc(entries, func(e push.Entry) bool { return strings.HasPrefix(e.Line, "bad") })
		if bad {
			http.Error(w, "smells", http.StatusBadRequest)
		}
		return bad
	})
	o, log := options(t, relay)
	o.Stdin = strings.NewReader("a\nbad 1\nb\nc\nd\nbad 2\nbad 3\n")
	summary, err := Run(t.Context(), o)
	if !strings.Contains(errText(err), "3 entries were dropped") {
		t.Errorf("error %v", err)
	}
	if want := (Summary{Read: 7, Acknowledged: 4, Dropped: 3}); summary != want {
		t.Errorf("summary %+v, want %+v", summary, want)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, relay.lines()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	for _, want := range []string{"smells", `line="bad 1"`, `line="bad 2"`, `line="bad 3"`, `stream="{kubernetes_container_name=\"restate\"}"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log does not say %s: %s", want, log)
		}
	}
}

func TestWrongAddressEndsTheRun(t *testing.T) {
	for _, status := range []int{301, 404, 405} {
		relay := newRelay(t)
		relay.behave(failWith(status))
		o, _ := options(t, relay)
		o.Stdin = strings.NewReader("a\n")
		if _, err := Run(t.Context(), o); !strings.Contains(errText(err), "right address") {
			t.Errorf("%d: error %v", status, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	relay := newRelay(t)
	tests := map[string]func(*Options){
		"want http://":          func(o *Options) { o.URL = "localhost:3100" },
		"no such file":          func(o *Options) { o.TokenFile += ".gone" },
		"exactly one token":     func(o *Options) { write(t, o.TokenFile, "two tokens") },
		"doesn't start with":    func(o *Options) { o.Labels = map[string]string{"1st": "x"} },
		"Loki's own":            func(o *Options) { o.Labels = map[string]string{"__name__": "x"} },
		"not UTF-8":             func(o *Options) { o.Labels = map[string]string{"x": "\xff"} },
		"at least one":          func(o *Options) { o.Labels = map[string]string{containerLabel: ""} },
		"is a directory":        func(o *Options) { o.Files = []string{t.TempDir()} },
		"is not a regular file": func(o *Options) { o.Files = []string{"/dev/null"} },
	}
	for want, spoil := range tests {
		t.Run(want, func(t *testing.T) {
			o, _ := options(t, relay)
			o.Stdin = strings.NewReader("a\n")
			spoil(&o)
			if _, err := Run(t.Context(), o); !strings.Contains(errText(err), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
	if relay.tries != 0 {
		t.Errorf("%d pushes", relay.tries)
	}
}

func TestOptionalTokenMayAppearLater(t *testing.T) {
	relay := newRelay(t)
	o, _ := options(t, relay)
	o.TokenFile, o.TokenOptional = o.TokenFile+".later", true
	relay.behave(func(w http.ResponseWriter, r *http.Request, _ []push.Entry) bool {
		if r.Header.Get("Authorization") == "" {
			write(t, o.TokenFile, testToken)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	o.Stdin = strings.NewReader("a\n")
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"soon":                          0,
		"-3":                            0,
		"7":                             7 * time.Second,
		"86400":                         maxRetryAfter,
		"Mon, 23 Nov 2026 05:00:09 GMT": 9 * time.Second,
		"Mon, 23 Nov 2026 04:00:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
