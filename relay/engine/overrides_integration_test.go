//go:build integration

package engine_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/engine/enginetest"
)

// ask returns the status and the body of an engine's answer to a tenant.
func ask(ctx context.Context, e engine.Engine, tenant, target string) (int, string, error) {
	resp, err := engine.Get(ctx, e, tenant, target, nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// answer is what an engine should say: a status and a text in the body.
type answer struct {
	status int
	text   string
}

// wantAnswer waits for an answer.
func wantAnswer(t *testing.T, e engine.Engine, tenant, target string, want answer) {
	t.Helper()
	until(t, func(context.Context) error { // whose end would hide the last answer
		got, body, err := ask(t.Context(), e, tenant, target)
		if err == nil && (got != want.status || !strings.Contains(body, want.text)) {
			err = fmt.Errorf("%s asks for %s: %d %.2000q, want %d %q", tenant, target, got, body, want.status, want.text)
		}
		return err
	})
}

func lokiRange(limit int, length time.Duration) string {
	now := time.Now()
	return "/loki/api/v1/query_range?" + url.Values{
		"query": {`{app="enginetest"}`}, "limit": {fmt.Sprint(limit)},
		"start": {fmt.Sprint(now.Add(-length).UnixNano())}, "end": {fmt.Sprint(now.UnixNano())},
	}.Encode()
}

// TestLokiTakesOverridesAsItRuns changes what two tenants may and looks that the same
// process goes by it.
func TestLokiTakesOverridesAsItRuns(t *testing.T) {
	e, _ := run(t, "loki", filepath.Join(t.TempDir(), "loki"))
	life, _ := e.Incarnation()
	const tooMany, tooLong = "max entries limit per query exceeded", "the query time range exceeds the limit"
	wantAnswer(t, e, "acme", lokiRange(5000, 2*time.Hour), answer{http.StatusOK, ""})
	if err := e.SetOverrides(map[string]engine.TenantLimits{
		"acme": {Retention: 36 * time.Hour, MaxQueryRange: time.Hour, MaxQueryLimit: 50},
		"more": {Retention: 90 * 24 * time.Hour, MaxQueryLimit: 6000, MaxTails: 33},
	}); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, e, "acme", lokiRange(51, time.Minute), answer{http.StatusBadRequest, tooMany + ", limit > max_entries_limit_per_query (51 > 50)"})
	wantAnswer(t, e, "acme", lokiRange(50, 2*time.Hour), answer{http.StatusBadRequest, tooLong + " (query length: 2h0m0s, limit: 1h)"})
	wantAnswer(t, e, "acme", lokiRange(50, 50*time.Minute), answer{http.StatusOK, ""})
	// What the relay doesn't see: a range inside of LogQL, of which Loki reads a
	// nanosecond more.
	wantAnswer(t, e, "acme", "/loki/api/v1/query?query="+url.QueryEscape(`sum(count_over_time({app="enginetest"}[2h]))`), answer{http.StatusBadRequest, tooLong})
	wantAnswer(t, e, "acme", "/loki/api/v1/query?query="+url.QueryEscape(`sum(count_over_time({app="enginetest"}[50m]))`), answer{http.StatusOK, ""})
	wantAnswer(t, e, "more", lokiRange(6000, 2*time.Hour), answer{http.StatusOK, ""})
	wantAnswer(t, e, "other", lokiRange(5001, time.Minute), answer{http.StatusBadRequest, tooMany})
	for tenant, wants := range map[string][]string{
		"acme":  {"retention_period: 1d12h", "max_query_series: 5000"},
		"more":  {"retention_period: 90d", "max_entries_limit_per_query: 6000"},
		"other": {"retention_period: 2w"},
	} {
		for _, want := range wants {
			wantAnswer(t, e, tenant, "/config/tenant/v1/limits", answer{http.StatusOK, want})
		}
	}
	if err := e.SetOverrides(nil); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, e, "acme", lokiRange(5000, 2*time.Hour), answer{http.StatusOK, ""})
	if now, _ := e.Incarnation(); now != life {
		t.Errorf("Loki was started again: life %d, then %d", life, now)
	}
}

// TestTempoTakesOverridesAsItRuns does the same, and looks that what a tenant's entry
// must repeat of the defaults is there: spans are taken and counted by TraceQL.
func TestTempoTakesOverridesAsItRuns(t *testing.T) {
	e, _ := run(t, "tempo", filepath.Join(t.TempDir(), "tempo"))
	life, _ := e.Incarnation()
	search := func(length time.Duration) string {
		now := time.Now().Unix()
		return fmt.Sprintf("/api/search?q=%%7B%%7D&start=%d&end=%d", now-int64(length.Seconds()), now)
	}
	wantAnswer(t, e, "acme", search(2*time.Hour), answer{http.StatusOK, ""})
	if err := e.SetOverrides(map[string]engine.TenantLimits{"acme": {Retention: 36 * time.Hour, MaxQueryRange: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, e, "acme", search(2*time.Hour), answer{http.StatusBadRequest, "range specified by start and end exceeds 1h0m0s"})
	wantAnswer(t, e, "acme", search(time.Hour), answer{http.StatusOK, ""})
	wantAnswer(t, e, "other", search(2*time.Hour), answer{http.StatusOK, ""})
	wantAnswer(t, e, "acme", "/status/overrides/acme", answer{http.StatusOK, "block_retention: 1d12h"})
	for _, want := range []string{"rate_limit_bytes: 67108864", "max_traces_per_user: 200000", "local-blocks"} {
		wantAnswer(t, e, "acme", "/status/overrides/acme", answer{http.StatusOK, want})
	}
	if err := e.Push(t.Context(), "acme", record(t, "tempo", "overridden")); err != nil {
		t.Fatal(err)
	}
	find(t, e, "tempo", "acme", "overridden")
	wantAnswer(t, e, "acme", "/api/metrics/query?q="+url.QueryEscape("{} | count_over_time()"), answer{http.StatusOK, `"value":1`})
	if err := e.SetOverrides(nil); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, e, "acme", search(2*time.Hour), answer{http.StatusOK, ""})
	if now, _ := e.Incarnation(); now != life {
		t.Errorf("Tempo was started again: life %d, then %d", life, now)
	}
}

// TestTempoKeepsAndForgetsByTenant looks that blocks are given up by the retention of
// their tenant, and by that alone: their spans ended five days ago.
func TestTempoKeepsAndForgetsByTenant(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tempo")
	e, _ := run(t, "tempo", dir)
	tenants := []string{"long", "plain", "short"}
	for _, tenant := range tenants {
		if err := e.Push(t.Context(), tenant, enginetest.TraceRequest(t, time.Now().Add(-5*24*time.Hour), "old")); err != nil {
			t.Fatal(err)
		}
	}
	blocks := func(tenant, file string) error {
		found, err := filepath.Glob(filepath.Join(dir, "blocks", tenant, "*", file))
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("%s has no %s", tenant, file)
		}
		return err
	}
	for _, tenant := range tenants {
		wantAnswer(t, e, tenant, "/flush?tenant="+tenant, answer{http.StatusNoContent, ""})
		until(t, func(context.Context) error { return blocks(tenant, "meta.json") })
	}
	if err := e.SetOverrides(map[string]engine.TenantLimits{"short": {Retention: 24 * time.Hour}, "long": {Retention: 90 * 24 * time.Hour}}); err != nil {
		t.Fatal(err)
	}
	// Tempo looks for blocks every 30 s, and for old ones among them as often.
	untilAfter(t, 5*time.Minute, func(context.Context) error { return blocks("short", "meta.compacted.json") })
	for _, tenant := range []string{"long", "plain"} {
		if err := blocks(tenant, "meta.json"); err != nil {
			t.Error("what was to be kept is gone:", err)
		}
	}
}

// BenchmarkOverridesTaken measures how long an engine takes to go by a file of ten
// thousand tenants, of the two seconds until it looks and after.
func BenchmarkOverridesTaken(b *testing.B) {
	for name, asked := range map[string]string{
		"loki":  lokiRange(10, 2*time.Hour),
		"tempo": fmt.Sprintf("/api/search?q=%%7B%%7D&start=%d&end=%d", time.Now().Unix()-7200, time.Now().Unix()),
	} {
		b.Run(name, func(b *testing.B) {
			e := makers[name](engine.EmbeddedOptions{Binary: filepath.Join("..", "..", "bin", name), DataDir: filepath.Join(b.TempDir(), name)})
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- e.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-ended; err != nil {
					b.Error(err)
				}
			}()
			if err := engine.WaitReady(b.Context(), e); err != nil {
				b.Fatal(err)
			}
			tenants := map[string]engine.TenantLimits{}
			for i := range 10_000 {
				tenants[fmt.Sprint("tenant-", i)] = engine.TenantLimits{Retention: 48 * time.Hour, MaxQueryRange: time.Hour}
			}
			for i := 0; b.Loop(); i++ {
				want := http.StatusBadRequest
				if i%2 == 1 {
					want = http.StatusOK
				}
				tenants["tenant-9999"] = engine.TenantLimits{MaxQueryRange: time.Duration(1+10*(i%2)) * time.Hour}
				if err := e.SetOverrides(tenants); err != nil {
					b.Fatal(err)
				}
				tick := time.NewTicker(50 * time.Millisecond)
				for status := 0; status != want; <-tick.C {
					var err error
					if status, _, err = ask(b.Context(), e, "tenant-9999", asked); err != nil {
						b.Fatal(err)
					}
				}
				tick.Stop()
			}
		})
	}
}
