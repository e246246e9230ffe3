package index_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
)

func TestForgetting(t *testing.T) {
	store := indextest.NewMemory()
	var now time.Time
	x := newIndexOver(t, index.Options{
		Store:     store,
		Retention: func(string) time.Duration { return time.Hour },
		Now:       func() time.Time { return now },
	})
	ctx := context.Background()
	applySpans(t, x, spanBatches(t)...)
	all := listAll(t, x, index.Query{})
	r, err := x.Get(ctx, tenant, parseID(t, all[len(all)/2]))
	if err != nil {
		t.Fatal(err)
	}
	now = time.Unix(0, r.LastSeen).Add(time.Hour)
	if err := x.Maintain(ctx); err != nil {
		t.Fatal(err)
	}
	left := listAll(t, x, index.Query{})
	if len(left) == 0 || len(left) >= len(all) {
		t.Fatalf("%d of %d invocations are left", len(left), len(all))
	}
	for _, id := range left {
		if r, err := x.Get(ctx, tenant, parseID(t, id)); err != nil || r.LastSeen < now.Add(-time.Hour).UnixNano() {
			t.Errorf("%s is left: %v", id, err)
		}
	}
	now = now.Add(24 * time.Hour)
	if err := x.Maintain(ctx); err != nil {
		t.Fatal(err)
	}
	size, err := store.Bytes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if left := listAll(t, x, index.Query{}); len(left) != 0 || size != 0 {
		t.Errorf("%d invocations and %d bytes are left of all", len(left), size)
	}
}

// Since is the first of what is known, and later once that is forgotten.
func TestSince(t *testing.T) {
	now := time.Unix(1795403660, 0) // just after the recording
	x := newIndexOver(t, index.Options{
		Store: indextest.NewMemory(), Retention: func(string) time.Duration { return time.Hour }, Now: func() time.Time { return now },
	})
	want := func(want int64) {
		t.Helper()
		if got, err := x.Since(t.Context(), tenant); err != nil || got != want {
			t.Errorf("since %d, want %d (%v)", got, want, err)
		}
	}
	want(math.MaxInt64)
	applySpans(t, x, spanBatches(t)...)
	all := listAll(t, x, index.Query{})
	seen := func(id string) index.Record {
		r, err := x.Get(t.Context(), tenant, parseID(t, id))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	const milli = int64(time.Millisecond) // a listing's precision
	want(seen(all[len(all)-1]).FirstSeen / milli * milli)
	if got, err := x.Since(t.Context(), "other"); err != nil || got != math.MaxInt64 {
		t.Errorf("of another tenant since %d (%v)", got, err)
	}
	now = time.Unix(0, seen(all[0]).LastSeen).Add(time.Hour)
	if err := x.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := listAll(t, x, index.Query{})
	if len(left) == len(all) {
		t.Fatal("nothing was forgotten")
	}
	now = now.Add(time.Minute)
	want(seen(left[len(left)-1]).FirstSeen / milli * milli)
	x.Missed()
	missed := now.UnixNano()
	now = now.Add(time.Hour)
	want(missed)
}

func TestTheSizeIsBounded(t *testing.T) {
	store := indextest.NewMemory()
	ctx := context.Background()
	spans := spanBatches(t)
	fill := func(limit int64, now time.Time) map[string]int64 { // id → last seen
		x := newIndexOver(t, index.Options{
			Store: store, MaxBytes: limit,
			Retention: func(string) time.Duration { return 1e6 * time.Hour },
			Now:       func() time.Time { return now },
		})
		applySpans(t, x, spans...)
		if err := x.Maintain(ctx); err != nil {
			t.Fatal(err)
		}
		seen := map[string]int64{}
		for _, id := range listAll(t, x, index.Query{}) {
			r, err := x.Get(ctx, tenant, parseID(t, id))
			if err != nil {
				t.Fatal(err)
			}
			seen[id] = r.LastSeen
		}
		return seen
	}
	all := fill(0, time.Now())
	full, err := store.Bytes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	left := fill(full/2, time.Unix(1795403660, 0)) // just after the recording
	size, err := store.Bytes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if size > full/2 || len(left) == 0 {
		t.Errorf("%d bytes of %d allowed, %d of %d invocations are left", size, full/2, len(left), len(all))
	}
	latestGone, oldestLeft := int64(0), int64(math.MaxInt64)
	for id, seen := range all {
		if _, kept := left[id]; kept {
			oldestLeft = min(oldestLeft, seen)
		} else {
			latestGone = max(latestGone, seen)
		}
	}
	if latestGone >= oldestLeft {
		t.Errorf("one that was last seen at %d is left, one of %d is gone", oldestLeft, latestGone)
	}
}
