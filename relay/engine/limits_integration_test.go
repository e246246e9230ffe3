//go:build integration

package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/engine/enginetest"
)

// TestLokiRefusesNothingAcknowledged pushes to one stream, in this order, what
// ingest takes and what Loki refuses at its defaults, and finds all of it: before
// chunks are flushed, after the engine was killed and came back, and in the store.
func TestLokiRefusesNothingAcknowledged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "loki")
	e, _ := run(t, "loki", dir)
	now, day := time.Now(), 24*time.Hour
	var want []string
	for _, entry := range []struct {
		name string
		age  time.Duration
	}{
		{name: "live"},
		{"26 hours old", 26 * time.Hour},
		{"from a clock that is 23 hours ahead", -23 * time.Hour},
		{"live after that", -time.Second},
		{"6 days old", 6 * day},
		{"10 days old", 10 * day},
		{"almost 14 days old, the retention, and an hour in the queue", 14*day + time.Hour - time.Minute},
		{"5 MB long, line and metadata each " + strings.Repeat("x", 5_000_000), 2 * time.Second},
	} {
		if err := e.Push(t.Context(), "acme", enginetest.LogRequest(t, now.Add(-entry.age), entry.name)); err != nil {
			t.Fatalf("%.60s: %v", entry.name, err)
		}
		want = append(want, brief("line of "+entry.name))
	}
	slices.Sort(want)
	allThere := func(ctx context.Context) error {
		got, err := allLines(ctx, e, "acme", now)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("lines (-want +got):\n%s", diff)
		}
		return nil
	}
	until(t, allThere)

	before, _ := e.Incarnation()
	killChild(t, dir)
	until(t, func(ctx context.Context) error {
		if again, _ := e.Incarnation(); again <= before {
			return fmt.Errorf("still incarnation %d", again)
		}
		return e.Ready(ctx)
	})
	until(t, allThere)

	flush(t, e)
	until(t, func(context.Context) error {
		chunks, err := filepath.Glob(filepath.Join(dir, "chunks", "acme", "*", "*"))
		if err == nil && len(chunks) == 0 {
			err = fmt.Errorf("no chunk in the store")
		}
		return err
	})
	until(t, allThere)
}

// brief is enough of a line to know it by.
func brief(line string) string { return fmt.Sprintf("%.80s (%d bytes)", line, len(line)) }

// allLines are the tenant's lines of every time, in short and sorted.
func allLines(ctx context.Context, e engine.Engine, tenant string, now time.Time) ([]string, error) {
	query := url.Values{
		"query": {`{app="enginetest"}`},
		"start": {fmt.Sprint(now.Add(-16 * 24 * time.Hour).UnixNano())},
		"end":   {fmt.Sprint(now.Add(24 * time.Hour).UnixNano())},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/loki/api/v1/query_range?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Scope-OrgID", tenant)
	resp, err := e.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("query: %s", resp.Status)
	}
	var answer struct {
		Data struct {
			Result []struct{ Values [][2]string }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("decode the answer: %w", err)
	}
	var lines []string
	for _, stream := range answer.Data.Result {
		for _, value := range stream.Values {
			lines = append(lines, brief(value[1]))
		}
	}
	slices.Sort(lines)
	return lines, nil
}

// flush makes Loki write the chunks it has in memory to its store.
func flush(t *testing.T, e engine.Engine) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://engine/flush", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("flush: %s", resp.Status)
	}
}
