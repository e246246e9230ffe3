package pebblestore

import (
	"errors"
	"testing"

	"github.com/invoscope/invoscope/correlate/index/indextest"
)

// TestSpaceOfDeleted deletes the older nine tenths of many records, of each family
// and in each order. Compact gives the room back.
func TestSpaceOfDeleted(t *testing.T) {
	const invocations, kept = 20_000, 2_000
	s, err := Open(testOptions(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	size := func() int64 {
		if err := s.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		return int64(s.db.Metrics().Table.Local.LiveSize)
	}
	load := indextest.Load{Store: s}
	if err := load.Fill(t.Context(), invocations); err != nil {
		t.Fatal(err)
	}
	full := size()
	if err := load.Delete(t.Context(), 0, invocations-kept); err != nil {
		t.Fatal(err)
	}
	if got, want := size(), full*kept/invocations; got > 2*want {
		t.Errorf("%d bytes of %d remain of a tenth of the records", got, full)
	}
}

func TestCloseEndsCompact(t *testing.T) {
	s, err := Open(testOptions(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if err := (indextest.Load{Store: s}).Fill(t.Context(), 5000); err != nil {
		t.Fatal(err)
	}
	compacted := make(chan error, 1)
	go func() { compacted <- s.Compact(t.Context()) }()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-compacted; err != nil && !errors.Is(err, errClosed) {
		t.Errorf("compact: %v", err)
	}
}
