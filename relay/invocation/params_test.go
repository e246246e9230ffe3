package invocation

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/correlate/index"
)

func TestWrongRequests(t *testing.T) {
	f := newFixture(t, map[string]*world{acme: recorded(t)})
	one := base + "/" + checkout
	tests := []struct {
		path, says string
		status     int
	}{
		{base + "?from=yesterday", `from: want RFC 3339`, 400},
		{base + "?to=1e400.", `to: want RFC 3339`, 400},
		{base + "?since=-1h", `since: want a time span`, 400},
		{base + "?since=1h&from=5", `from or since, not both`, 400},
		{base + "?from=20&to=10", `from is later than to`, 400},
		{base + "?outcome=failed,dead", `unknown outcome "dead" (valid: unknown, scheduled, running, suspended, paused, completed, succeeded, failed)`, 400},
		{base + "?limit=0", `limit: want a number from 1 to 1000, not "0"`, 400},
		{base + "?limit=1001", `limit: want`, 400},
		{base + "?cursor=x", `the cursor is not one that a listing returned`, 400},
		{base + "?outcomes=failed", `unknown parameter "outcomes" (valid: from, `, 400},
		{base + "?limit=1&limit=2", `the parameter limit is given more than once`, 400},
		{base + "?a=%zz", `the query string is malformed`, 400},
		{base + "/inv_1short", `"inv_1short" is not an invocation id`, 400},
		{base + "/" + strings.Repeat("x", 5000), `is not an invocation id`, 400},
		{base + "/inv_1zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", `is not an invocation id`, 400},
		{base + "/" + invocationID(1).String(), `nothing is known of the invocation ` + invocationID(1).String(), 404},
		{base + "/" + invocationID(1).String() + "/timeline", `nothing is known`, 404},
		{base + "/" + invocationID(1).String() + "/links", `nothing is known`, 404},
		{one + "?x=1", `unknown parameter "x": there are none`, 400},
		{one + "/timeline?relatives=parents", `unknown relatives "parents" (valid: callers, callees)`, 400},
		{one + "/timeline?depth=9", `depth: want a number from 1 to 8`, 400},
		{one + "/timeline?limit=5001", `limit: want a number from 1 to 5000`, 400},
		{one + "/timeline?cursor=x", `the cursor is not one that a timeline returned`, 400},
		{one + "/timeline?follow=maybe", `follow: want true or false`, 400},
		{one + "/timeline?follow=true", `follow needs the header Accept: application/x-ndjson`, 400},
	}
	for _, tt := range tests {
		resp := f.get(t, acme, tt.path)
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(body), `\"`, `"`)
		if resp.StatusCode != tt.status || !strings.Contains(text, tt.says) || len(body) > 300 {
			t.Errorf("%.80s: %s %s", tt.path, resp.Status, text)
		}
	}
	if resp := f.get(t, acme, one+"/timeline?follow=true&limit=3", "Accept", ndjson); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("follow with a limit: %s", resp.Status)
	}
	f.opts.GrafanaURL = ""
	resp := f.get(t, acme, one+"/links")
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "grafana.url is not set") {
		t.Errorf("links without Grafana: %s %s", resp.Status, body)
	}
}

func TestListQuery(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).UTC()
	a := New(Options{Now: func() time.Time { return now }})
	tests := map[string]index.Query{
		"":                          {Limit: 100},
		"from=2023-01-02T03:04:05Z": {From: time.Date(2023, 1, 2, 3, 4, 5, 0, time.UTC), Limit: 100},
		"from=10&to=10.5":           {From: time.Unix(10, 0).UTC(), To: time.Unix(10, 5e8).UTC(), Limit: 100},
		"to=1700000000000000001":    {To: now.Add(1), Limit: 100},
		"since=1d":                  {From: now.Add(-24 * time.Hour), Limit: 100},
		"since=1.5h&to=1699999999":  {From: now.Add(-90*time.Minute - time.Second), To: now.Add(-time.Second), Limit: 100},
		"outcome=failed,paused&outcome=running&outcome=": {Outcomes: []index.Outcome{index.Failed, index.Paused, index.Running}, Limit: 100},
		"target=A%2Fb&error_code=RT0007&id=inv_1x&limit=7&cursor=c": {
			Target: "A/b", ErrorCode: "RT0007", Text: "inv_1x", Limit: 7, Cursor: "c",
		},
	}
	for query, want := range tests {
		p, err := parseParams(httptest.NewRequest(http.MethodGet, "/?"+query, nil), "from", "to", "since", "target", "outcome", "error_code", "id", "limit", "cursor")
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.query(p)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", query, err, diff)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"1", "1.5", "1700000000000000000", "2026-01-02T15:04:05.999999999+02:00", "-1", "1e300.", "0x1p-2.", "9999-12-31T23:59:59Z", "inf.", "9223372036854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseTime(s)
		if err != nil {
			return
		}
		if again := time.Unix(0, at.UnixNano()); !again.Equal(at) {
			t.Errorf("%q is %v, which nanoseconds can't tell: %v", s, at, again)
		}
	})
}

func FuzzCursor(f *testing.F) {
	for _, p := range []position{{1, rankSpan, "0a"}, {math.MaxInt64, rankEnd, ""}, {0, rankLine, strings.Repeat("f", 32)}} {
		f.Add(p.cursor())
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseCursor(s)
		if err != nil || s == "" {
			return
		}
		if again, err := parseCursor(p.cursor()); err != nil || again != p {
			t.Errorf("%q is %v, which is told as %v, %v", s, p, again, err)
		}
	})
}

func FuzzDecodeLines(f *testing.F) {
	f.Add([]byte(`{"data":{"resultType":"streams","result":[{"stream":{"a":"b"},"values":[["2","x",{"structuredMetadata":{"c":"d"}}],["1","y"]]}]}}`))
	f.Add([]byte(`{"data":{"resultType":"streams","result":[{"values":[["1"],[],null]}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines, err := decodeLines(b)
		if err != nil {
			return
		}
		for i := range lines {
			_ = lines[i].identity()
			if i > 0 && lines[i].at < lines[i-1].at {
				t.Error("the lines aren't in order")
			}
		}
	})
}

func FuzzDecodeTrace(f *testing.F) {
	f.Add([]byte{0x0a, 0x02, 0x0a, 0x00, 0x18, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		data, _, err := decodeTrace(b)
		if err != nil {
			return
		}
		tr := trace{whole: true}
		tr.take(data, 1000)
		tr.assign(nil)
	})
}
