package queue

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// randomRecords have sizes around what matters to pages: parts of one, nearly one,
// several.
func randomRecords(seed uint64, n int) []record {
	random := rand.New(rand.NewPCG(seed, 1))
	records := make([]record, n)
	for i := range records {
		size := random.IntN(200)
		switch random.IntN(4) {
		case 0:
			size = pageBytes - 60 + random.IntN(80)
		case 1:
			size = random.IntN(5 * pageBytes)
		}
		body := make([]byte, size)
		for j := range body {
			body[j] = byte(random.Uint32())
		}
		records[i] = newRecord("acme", time.Unix(1, 0), Request{Body: body, Items: i})
		records[i].setSequence(uint64(i))
	}
	return records
}

// We know where wlog puts a record without being told; this holds it to that.
func TestRecordsStandWhereWeThink(t *testing.T) {
	dir := t.TempDir()
	l, err := openLog(filepath.Join(dir, "log"), filepath.Join(dir, "damaged"), slog.New(slog.DiscardHandler), func(record, location) {})
	if err != nil {
		t.Fatal(err)
	}
	l.sync = false
	records := randomRecords(7, 1200)
	// The second of these begins where a page has room for the header of a fragment
	// and no more.
	fill := newRecord("acme", time.Unix(1, 0), Request{})
	fill = append(fill, make([]byte, pageBytes-2*fragmentBytes-len(fill))...)
	records = append([]record{fill}, records...)
	var places []location
	for i := 0; i < len(records); {
		n := min(1+i%7, len(records)-i)
		batch, err := l.write(records[i : i+n])
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, batch...)
		i += n
		if _, offset, err := l.wal.LastSegmentAndOffset(); err != nil || int64(offset) != l.offset {
			t.Fatalf("after %d records wlog is at %d, %v; we are at %d", i, offset, err, l.offset)
		}
	}
	if l.active == 0 {
		t.Error("no segment was ended")
	}
	if places[1].offset != pageBytes-fragmentBytes {
		t.Errorf("the second record stands at %d", places[1].offset)
	}
	for i, at := range places {
		if r, err := l.read(at); err != nil || !bytes.Equal(r, records[i]) {
			t.Fatalf("record %d at %+v: %v", i, at, err)
		}
	}
	if err := l.wal.Close(); err != nil {
		t.Fatal(err)
	}

	var again []location
	l, err = openLog(filepath.Join(dir, "log"), filepath.Join(dir, "damaged"), slog.New(slog.DiscardHandler), func(_ record, at location) { again = append(again, at) })
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(l.wal)
	if len(again) != len(places) {
		t.Fatalf("%d records were replayed of %d", len(again), len(places))
	}
	for i, at := range again {
		if at != places[i] {
			t.Fatalf("record %d was written at %+v and is replayed from %+v", i, places[i], at)
		}
	}
}

func TestDamageIsSeen(t *testing.T) {
	dir := t.TempDir()
	l, err := openLog(filepath.Join(dir, "log"), filepath.Join(dir, "damaged"), slog.New(slog.DiscardHandler), func(record, location) {})
	if err != nil {
		t.Fatal(err)
	}
	records := randomRecords(3, 20)
	places, err := l.write(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.wal.Close(); err != nil {
		t.Fatal(err)
	}
	file := l.file(places[0].segment)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range places {
		broken := bytes.Clone(content)
		broken[at.offset+fragmentBytes+int64(i%headerBytes)] ^= 1
		if err := os.WriteFile(file, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := l.read(at); !errors.Is(err, errDamaged) {
			t.Errorf("record %d with a bit changed: %v", i, err)
		}
		if err := os.WriteFile(file, content[:at.offset+fragmentBytes], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := l.read(at); !errors.Is(err, errDamaged) {
			t.Errorf("record %d cut off: %v", i, err)
		}
	}
}

func FuzzJoin(f *testing.F) {
	f.Add([]byte{fragmentFull, 0, 3, 0, 0, 0, 0, 1, 2, 3}, int64(0), 3)
	f.Add([]byte{fragmentFirst, 0, 1, 0, 0, 0, 0, 1, fragmentLast, 0, 1, 0, 0, 0, 0, 1}, int64(pageBytes-8), 2)
	f.Fuzz(func(t *testing.T, stored []byte, offset int64, size int) {
		if offset < 0 || size <= 0 || size > 1<<20 || offset > 1<<40 || begin(offset) != offset {
			return
		}
		if r, err := (location{offset: offset, size: size}).join(stored); err == nil && len(r) != size {
			t.Errorf("%d bytes for a record of %d", len(r), size)
		}
	})
}
