package indextest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/invoscope/invoscope/correlate/index"
)

// calls calls each method of a store.
func calls(ctx context.Context, s index.Store) map[string]error {
	errs := map[string]error{}
	errs["Update"] = s.Update(ctx, "a", [][]byte{[]byte("r1")}, func(_ [][]byte, w *index.Writes) error {
		w.Set = keyValues([]string{"r1=two"})
		return nil
	})
	_, errs["Get"] = s.Get(ctx, "a", []byte("r1"))
	_, errs["Scan"] = s.Scan(ctx, "a", index.Range{From: []byte("T"), To: []byte("U"), Limit: 9})
	_, errs["Tenants"] = s.Tenants(ctx)
	errs["Sync"] = s.Sync(ctx)
	_, errs["Bytes"] = s.Bytes(ctx)
	errs["Compact"] = s.Compact(ctx)
	return errs
}

func testContext(t *testing.T, open opener) {
	s := open(t)
	s.put(t, "a", "r1=one", "T1")
	for method, err := range calls(ended(t), s) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want that the context ended", method, err)
		}
	}
	s.wantValue(t, "a", "r1", "one")

	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, "a", nil, func(_ [][]byte, w *index.Writes) error {
		cancel()
		w.Set = keyValues([]string{"r1=two", "T2"})
		return nil
	})
	if got, _ := s.Get(t.Context(), "a", []byte("r1")); (err == nil) != (string(got) == "two") {
		t.Errorf("an update whose context ended returned %v and left %q", err, got)
	}
}

func testReopen(t *testing.T, open opener) {
	s := open(t)
	s.put(t, "a", "r1=one", "r2=two", "T1", "T2")
	s.put(t, "b", "r1=b", "T1")
	s.remove(t, "a", "r2", "T2")
	s.remove(t, "b", "T1")
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.put(t, "a", "r3=three") // Close keeps this too
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t)
	s.wantValue(t, "a", "r1", "one")
	s.wantValue(t, "a", "r2", "")
	s.wantValue(t, "a", "r3", "three")
	s.wantAll(t, "a", "T", "T1")
	s.wantValue(t, "b", "r1", "b")
	s.wantAll(t, "b", "T")
	s.put(t, "a", "r1=again")
	s.wantValue(t, "a", "r1", "again")
}

func testClosed(t *testing.T, open opener) {
	s := open(t)
	s.put(t, "a", "r1=one")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for method, err := range calls(t.Context(), s) {
		if err == nil {
			t.Errorf("%s of a closed store returned no error", method)
		}
	}
}

// testBytes writes and deletes the same amount over and over: the room it takes
// grows at first, and not for ever. (A log may stay as large as it was.)
func testBytes(t *testing.T, open opener) {
	const keys, rounds = 500, 20
	s := open(t)
	size := func() int64 {
		t.Helper()
		n, err := s.Bytes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	empty := size()
	var one int64
	for round := range rounds {
		var set, gone index.Writes
		for i := range keys {
			hash := sha256.Sum256(fmt.Append(nil, round, i)) // which doesn't compress
			key := append([]byte("r"), hash[:]...)
			set.Set = append(set.Set, index.KeyValue{Key: key, Value: key}, index.KeyValue{Key: append([]byte("T"), key...)})
			gone.Delete = append(gone.Delete, key, append([]byte("T"), key...))
		}
		s.write(t, "a", set)
		if err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			one = size() - empty
			if one < keys*3*32 {
				t.Errorf("%d keys and values of 33 bytes take %d bytes", keys, one)
			}
		}
		s.write(t, "a", gone)
		if err := s.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := size() - empty; got > one*rounds/2 {
		t.Errorf("%d bytes are taken after %d rounds of %d whose keys were all deleted", got, rounds, one)
	}
}
