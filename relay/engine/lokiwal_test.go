package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

// walPage is how much wlog writes at once.
const walPage = 32 << 10

// writeSegment adds a segment with these records to the log in dir, as Loki does at
// each start, and returns its path.
func writeSegment(t *testing.T, dir string, records ...[]byte) string {
	t.Helper()
	log, err := wlog.NewSize(slog.New(slog.DiscardHandler), nil, dir, wlog.DefaultSegmentSize, compression.None)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Log(records...); err != nil {
		t.Fatal(err)
	}
	_, last, err := wlog.Segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return wlog.SegmentName(dir, last)
}

// readSegments reads a whole log in the way in which Loki does, and fails where
// Loki would leave out the rest.
func readSegments(t *testing.T, dir string) (records [][]byte) {
	t.Helper()
	segments, err := wlog.NewSegmentsReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer segments.Close()
	reader := wlog.NewReader(segments)
	for reader.Next() {
		records = append(records, bytes.Clone(reader.Record()))
	}
	if err := reader.Err(); err != nil {
		t.Errorf("after %d records: %v", len(records), err)
	}
	return records
}

func TestLokiLogWithATornEndIsReadWhole(t *testing.T) {
	const header = 7
	one, two := bytes.Repeat([]byte("1"), 500), bytes.Repeat([]byte("2"), 500)
	third := 2 * (header + len(one)) // where the third record begins
	small := bytes.Repeat([]byte("3"), 400)
	large := bytes.Repeat([]byte("3456789"), 100_000) // over 22 pages
	noise := make([]byte, 50_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	cut := func(size int) func([]byte) []byte { return func(b []byte) []byte { return b[:size] } }
	add := func(more []byte) func([]byte) []byte { return func(b []byte) []byte { return append(b, more...) } }
	for name, tt := range map[string]struct {
		third []byte
		tear  func([]byte) []byte
		torn  bool
		kept  int // records
	}{
		"healthy":                       {large, add(nil), false, 3},
		"zeros after the end":           {small, add(make([]byte, 1000)), false, 3},
		"pages of zeros after the end":  {small, add(make([]byte, 2*walPage)), false, 3},
		"in a header":                   {large, cut(third + 3), true, 2},
		"after a header":                {large, cut(third + header), true, 2},
		"in the first page":             {large, cut(third + 1000), true, 2},
		"between pages":                 {large, cut(walPage), true, 2},
		"in the header of a later page": {large, cut(walPage + 2), true, 2},
		"in a later page":               {large, cut(2*walPage + 5000), true, 2},
		"a byte before the end":         {small, cut(third + header + len(small) - 1), true, 2},
		"noise after the end":           {small, add(noise), true, 3},
		"a beginning after the end":     {small, add([]byte{1, 0x40, 0, 1, 2, 3, 4, 'x'}), true, 3},
		"nothing but noise":             {small, func([]byte) []byte { return noise }, true, 0},
		"empty":                         {small, cut(0), false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log := filepath.Join(dir, "wal")
			records := [][]byte{one, two, tt.third}
			earlier := writeSegment(t, log, []byte("earlier"), large)
			segment := writeSegment(t, log, records...)
			later := writeSegment(t, log, []byte("later"))
			healthy := contents(t, earlier, later)
			torn := tt.tear(contents(t, segment)[0])
			if err := os.WriteFile(segment, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			want := slices.Concat([][]byte{[]byte("earlier"), large}, records[:tt.kept], [][]byte{[]byte("later")})

			repaired, err := repairLokiLog(dir, 0)
			if err != nil {
				t.Fatal(err)
			}
			if found := slices.Equal(repaired, []string{segment}); found != tt.torn || len(repaired) > 1 {
				t.Errorf("repaired %q", repaired)
			}
			if got := readSegments(t, log); !slices.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("%d records, want %d", len(got), len(want))
			}
			if !slices.EqualFunc(contents(t, earlier, later), healthy, bytes.Equal) {
				t.Error("a healthy segment was changed")
			}
			if !tt.torn && !bytes.Equal(contents(t, segment)[0], torn) {
				t.Error("what is not torn was changed")
			}
			if again, err := repairLokiLog(dir, 0); err != nil || len(again) > 0 {
				t.Errorf("repaired again: %q, %v", again, err)
			}
		})
	}
}

func contents(t *testing.T, paths ...string) (all [][]byte) {
	t.Helper()
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content)
	}
	return all
}

func TestLokiLogOfTheFirstStart(t *testing.T) {
	if repaired, err := repairLokiLog(t.TempDir(), 0); err != nil || len(repaired) > 0 {
		t.Errorf("repaired %q, %v", repaired, err)
	}
}

// What the disk doesn't give back may be whole.
func TestLokiLogThatCannotBeReadIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	unreadable := filepath.Join(dir, "wal", fmt.Sprintf("%08d", 0))
	if err := os.MkdirAll(unreadable, 0o700); err != nil { // reading a directory fails
		t.Fatal(err)
	}
	if repaired, err := repairLokiLog(dir, 0); err == nil || len(repaired) > 0 {
		t.Errorf("repaired %q, %v", repaired, err)
	}
}

// Checkpoints and copies that somebody made are not segments.
func TestLokiLogMayHaveOtherFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"00000001.bak", "checkpoint.000001.tmp"} {
		path := filepath.Join(dir, "wal", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("not a segment"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if repaired, err := repairLokiLog(dir, 0); err != nil || len(repaired) > 0 {
		t.Errorf("repaired %q, %v", repaired, err)
	}
}
