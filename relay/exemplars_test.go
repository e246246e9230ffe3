package relay

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestQueriesForManyExemplarsAreRefused(t *testing.T) {
	tests := map[string]bool{ // by query: whether it is passed on
		`{} | rate()`:                                                                     true,
		`{} | rate() with(exemplars=0)`:                                                   true,
		`{} | rate() with(exemplars=1000)`:                                                true,
		`{} | rate() with(exemplars=true)`:                                                true,
		`{ .exemplars = "x" } | rate()`:                                                   true,
		`{ name = "http://x/exemplars" } | rate()`:                                        true,
		`{} | rate() with(exemplars=1001)`:                                                false,
		`{} | rate() with(exemplars=00001001)`:                                            false,
		"{} | rate() with(exemplars\n=\t 100000)":                                         false,
		`{} | rate() with(exemplars=4294967297)`:                                          false,
		`{} | rate() with(sample=1, exemplars=5000)`:                                      false,
		`{} | rate() with(exemplars=1, exemplars=` + strings.Repeat("9", 400) + `)`:       false,
		`{} | rate() with(exemplars/**/=5000)`:                                            false,
		`{} | rate() with(exemplars=/* */5000)`:                                           false,
		"{} | rate() with(exemplars = // x\n5000)":                                        false,
		`{ name="exemplars=/*" } | rate() with(exemplars=99999) // */5`:                   false,
		`{ name="exemplars" } | rate() with(exemplars=99999)`:                             false,
		`{} | quantile_over_time(duration, .9) with(exemplars=9999999999999999999999999)`: false,
	}
	for query, passed := range tests {
		for _, path := range []string{"/api/metrics/query", "/api/metrics/query_range"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				for _, params := range []string{"q=" + url.QueryEscape(query), "query=" + url.QueryEscape(query), "q=%7B%7D&q=" + url.QueryEscape(query)} {
					f := newFixture(t)
					r := httptest.NewRequest(method, path+"?"+params, nil)
					r.Header.Set("Authorization", "Bearer good")
					resp := f.do(r)
					body, err := io.ReadAll(resp.Body)
					if err != nil {
						t.Fatal(err)
					}
					if passed != (f.tempo.last() != nil) || passed != (resp.StatusCode == http.StatusOK) {
						t.Errorf("%s %s?%s: %d %q", method, path, params, resp.StatusCode, body)
					}
					if !passed && (resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "exemplars")) {
						t.Errorf("%s %s?%s: %d %q", method, path, params, resp.StatusCode, body)
					}
				}
			}
		}
	}
}

func FuzzCheckExemplars(f *testing.F) {
	f.Add(`{} | rate() with(exemplars=5000)`)
	f.Add(`exemplars=/*exemplars`)
	f.Fuzz(func(t *testing.T, query string) {
		_ = checkExemplars(query)
		if checkExemplars(query+" with(exemplars=5000)") == nil {
			t.Errorf("%q hides the hint", query)
		}
	})
}
