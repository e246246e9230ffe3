package index_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/correlate/index"
)

func TestListIsTheWholeTruth(t *testing.T) {
	x := newIndex(t)
	ctx := context.Background()
	applySpans(t, x, spanBatches(t)...)
	applyLines(t, x, encodeLines(t, recordedLines(t, "restate-debug.jsonl")))
	everything, err := x.List(ctx, tenant, index.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	all := everything.Records
	if !slices.IsSortedFunc(all, func(a, b index.Record) int { return cmp.Compare(b.FirstSeen/1e6, a.FirstSeen/1e6) }) {
		t.Error("the latest isn't first")
	}
	at := func(i int) time.Time { return time.Unix(0, all[i].FirstSeen).Truncate(time.Millisecond) }
	for name, q := range map[string]index.Query{
		"from":                 {From: at(len(all) / 2)},
		"to":                   {To: at(len(all) / 3)},
		"range":                {From: at(20), To: at(5)},
		"target":               {Target: "Greeter/greet"},
		"target and outcome":   {Target: "Greeter/greet", Outcomes: []index.Outcome{index.Succeeded}},
		"outcomes":             {Outcomes: []index.Outcome{index.Failed, index.Paused, index.Failed}},
		"code":                 {ErrorCode: "402"},
		"part of the id":       {Text: "1l3Hc"},
		"target that's a part": {Target: "Greeter/gree"},
		"all":                  {},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, r := range all {
				if wanted(q, r) {
					want = append(want, r.ID.String())
				}
			}
			for _, limit := range []int{1, 3, 1000} {
				q := q
				q.Limit = limit
				if got := listAll(t, x, q); !slices.Equal(got, want) {
					t.Errorf("by %d: %d invocations %v, not %d", limit, len(got), got, len(want))
				}
			}
		})
	}
}

// wanted is what a query means, told slowly.
func wanted(q index.Query, r index.Record) bool {
	millis := time.Unix(0, r.FirstSeen).Truncate(time.Millisecond)
	return (q.From.IsZero() || !millis.Before(q.From)) && (q.To.IsZero() || !millis.After(q.To)) &&
		(q.Target == "" || r.Target == q.Target) &&
		(q.Outcomes == nil || slices.Contains(q.Outcomes, r.Outcome())) &&
		(q.ErrorCode == "" || r.Failure.Value.Status == q.ErrorCode) &&
		(q.Text == "" || strings.Contains(r.ID.String(), q.Text))
}

func listAll(t *testing.T, x *index.Index, q index.Query) []string {
	t.Helper()
	var ids []string
	for {
		page, err := x.List(context.Background(), tenant, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			ids = append(ids, r.ID.String())
		}
		if page.Next == "" {
			return ids
		}
		q.Cursor = page.Next
	}
}

func TestBadCursor(t *testing.T) {
	for _, cursor := range []string{"x", "!!!", "AAAA"} {
		if _, err := newIndex(t).List(context.Background(), tenant, index.Query{Cursor: cursor}); !errors.Is(err, index.ErrCursor) {
			t.Errorf("%q: %v", cursor, err)
		}
	}
}
