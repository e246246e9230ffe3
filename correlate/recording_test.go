package correlate

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const recordings = "../testdata/restate"

// recording returns the lines of a recorded log.
func recording(t testing.TB, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recordings, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func facts(line string) Facts {
	var f Facts
	f.Extract(line)
	return f
}

// ids are all ids that the facts name.
func (f *Facts) ids() []string {
	if f.InvocationID == "" {
		return nil
	}
	return append([]string{f.InvocationID}, f.Related...)
}

// truth is what invocations.json says about a recorded run. It was counted from
// the same files by other means.
type truth struct {
	LogLines             int            `json:"log_lines"`
	LogLinesByLevel      map[string]int `json:"log_lines_by_level"`
	LinesWithTwoIDs      int            `json:"log_lines_with_two_distinct_ids"`
	LinesContainingAnyID int            `json:"log_lines_containing_any_invocation_id"`
	Invocations          []struct {
		ID          string `json:"invocation_id"`
		Target      string `json:"target"`
		UUID        string `json:"uuid_hex"`
		StartSpanID string `json:"start_span_id"`
		LogLines    struct {
			ContainingID int            `json:"containing_id"`
			ByLocation   map[string]int `json:"by_location"`
			ByLevel      map[string]int `json:"by_level"`
		} `json:"restate_log_lines"`
		SDKLines int `json:"sdk_log_lines_containing_id"`
	} `json:"invocations"`
}

func groundTruth(t *testing.T) truth {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recordings, "invocations.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Runs map[string]truth `json:"runs"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	run, ok := all.Runs["debug"]
	if !ok || len(run.Invocations) == 0 {
		t.Fatal("invocations.json has no debug run")
	}
	return run
}

// The lines whose facts name an id are exactly those that contain it.
func TestEveryInvocationOfTheRecording(t *testing.T) {
	want := groundTruth(t)
	lines := recording(t, "restate-debug.jsonl")
	sdk := recording(t, "service-sdk-debug.log")

	levels := map[string]int{}
	withID, withTwo := 0, 0
	for _, line := range lines {
		f := facts(line)
		levels[f.Level]++
		if f.InvocationID != "" {
			withID++
		}
		if len(f.Related) > 0 {
			withTwo++
		}
	}
	equal(t, "lines", len(lines), want.LogLines)
	equal(t, "lines by level", levels, want.LogLinesByLevel)
	equal(t, "lines with an id", withID, want.LinesContainingAnyID)
	equal(t, "lines with two ids", withTwo, want.LinesWithTwoIDs)

	for _, inv := range want.Invocations {
		t.Run(inv.ID, func(t *testing.T) {
			levels, locations := map[string]int{}, map[string]int{}
			for _, line := range lines {
				f := facts(line)
				contains := strings.Contains(line, inv.ID)
				equal(t, "found in "+line, slices.Contains(f.ids(), inv.ID), contains)
				if !contains {
					continue
				}
				levels[f.Level]++
				places := places(t, line, inv.ID)
				locations[places]++
				if strings.Contains(places, "span") {
					equal(t, "current in "+line, f.InvocationID, inv.ID)
				}
				if f.InvocationID == inv.ID && f.Target != "" && !strings.Contains(f.Target, "{key}") {
					equal(t, "target in "+line, f.Target, inv.Target)
				}
			}
			equal(t, "by level", levels, inv.LogLines.ByLevel)
			equal(t, "by location", locations, inv.LogLines.ByLocation)

			inSDK := 0
			for _, line := range sdk {
				f := facts(line)
				equal(t, "found in "+line, f.InvocationID == inv.ID, strings.Contains(line, inv.ID))
				if f.InvocationID == inv.ID {
					inSDK++
				}
			}
			equal(t, "SDK lines", inSDK, inv.SDKLines)
		})
	}
}

// joined are the records of lines: each with the lines that continue it.
func joined(lines []string) (records []string) {
	for _, line := range lines {
		if len(records) == 0 || Begins(line) {
			records = append(records, line)
			continue
		}
		records[len(records)-1] += "\n" + line
	}
	return records
}

// Every format, of Restate 1.7.12 and 1.6.2, with the lines of a record joined: the
// ids of a record are those that a regular expression finds. The numbers were counted
// by other means.
func TestRecordsOfTheRecordings(t *testing.T) {
	type counts struct{ records, levels, ids, related, targets, codes int }
	anyID := regexp.MustCompile(`inv_1[0-9A-Za-z]{33}`)
	for name, want := range map[string]counts{
		"restate-debug.jsonl":      {994, 994, 530, 18, 523, 16},
		"restate-v162-debug.jsonl": {100, 100, 93, 3, 92, 0},
		"restate-compact.log":      {116, 116, 88, 1, 87, 10},
		"restate-pretty.log":       {29, 29, 10, 0, 10, 10},
		"service-sdk-debug.log":    {402, 402, 364, 0, 364, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var got counts
			for _, text := range joined(recording(t, name)) {
				f := facts(text)
				ids := map[string]bool{}
				for _, id := range anyID.FindAllString(text, -1) {
					ids[id] = true
				}
				equal(t, text, len(f.ids()), len(ids))
				for _, id := range f.ids() {
					equal(t, text, ids[id], true)
				}
				equal(t, "code of "+text, f.ErrorCode != "", strings.Contains(text, "restate.error.code"))
				got.records++
				got.levels += one(f.Level)
				got.ids += one(f.InvocationID)
				got.related += one(strings.Join(f.Related, ""))
				got.targets += one(f.Target)
				got.codes += one(f.ErrorCode)
			}
			equal(t, "counts", got, want)
		})
	}
}

func one(fact string) int { return min(len(fact), 1) }

// places says where a JSON line has an id, in the words of invocations.json.
func places(t *testing.T, line, id string) string {
	t.Helper()
	var r struct {
		Fields, Span map[string]any
		Spans        []map[string]any
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatal(err)
	}
	var found []string
	if r.Fields["restate.invocation.id"] == id {
		found = append(found, "fields")
	}
	if r.Span["restate.invocation.id"] == id {
		found = append(found, "span")
	}
	if slices.ContainsFunc(r.Spans, func(s map[string]any) bool { return s["restate.invocation.id"] == id }) {
		found = append(found, "spans")
	}
	if found == nil {
		return "text only"
	}
	return strings.Join(found, "+")
}

func TestInvocationIDsDecode(t *testing.T) {
	for _, inv := range groundTruth(t).Invocations {
		id, err := ParseInvocationID(inv.ID)
		if err != nil {
			t.Errorf("%s: %v", inv.ID, err)
			continue
		}
		equal(t, inv.ID, hex.EncodeToString(id.UUID[:]), inv.UUID)
		if inv.StartSpanID != "" { // one start was not recorded
			equal(t, inv.ID, hex.EncodeToString(id.UUID[8:]), inv.StartSpanID)
		}
	}
}

// Restate 1.6 puts the numbers of the ids it reads into its lines.
func TestPartitionKeyDecodes(t *testing.T) {
	const (
		text = "inv_1grkZKmXw4yn21B3A4kDd2uYmlNEKxhBSh"
		key  = "invocation_id: InvocationId { partition_key: 6043682901977235391, inner: InvocationUuid(2170510213980171143122327043407580994) }"
	)
	id, err := ParseInvocationID(text)
	if err != nil {
		t.Fatal(err)
	}
	lines := recording(t, "restate-v162-debug.jsonl")
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, text) && strings.Contains(l, key) }) {
		t.Fatal("the recording has changed")
	}
	equal(t, "partition key", id.PartitionKey, 6043682901977235391)
	equal(t, "UUID", uint128(id.UUID[:]), "2170510213980171143122327043407580994")
}
