//go:build integration

package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	api "github.com/invoscope/invoscope/relay/invocation"
)

var (
	update = flag.Bool("update", false, "write the golden files anew")
	record = flag.String("record", "", "folder to write the API's answers to, as cmd/invoscope/testdata/invocation has them")
)

// want is what must be told of an invocation.
type want struct {
	outcome  string
	final    bool
	attempts int    // exactly, or at least from 5 on
	origin   string // any if empty
	caller   string // the story that invoked it
	callees  string // targets, sorted; with how they were invoked when it is final
	code     string // Restate's error code
	status   string
	message  string
	traces   int // at least one if 0
}

// exactly is the most attempts that are counted exactly.
const exactly = 4

func wants(i api.Invocation, w want, s *stories) error {
	var problems []string
	check := func(what string, got, want any) {
		if got != want {
			problems = append(problems, fmt.Sprintf("%s is %v, want %v", what, got, want))
		}
	}
	check("outcome", i.Outcome, w.outcome)
	check("final", i.Final, w.final)
	if w.attempts <= exactly || i.AttemptsSeen < w.attempts {
		check("attempts", i.AttemptsSeen, w.attempts)
	}
	if w.origin != "" {
		check("origin", i.Origin, w.origin)
	}
	check("caller", i.Caller, s.id[w.caller])
	check("error", i.Error != nil, w.code+w.status != "")
	if i.Error != nil {
		check("code", i.Error.Code, w.code)
		if w.status != "" {
			check("status", i.Error.Status, w.status)
			check("message", i.Error.Message, w.message)
		}
	}
	if w.traces > 0 || w.final {
		check("traces", len(i.Traces), max(1, w.traces))
	}
	callees, err := s.callees(i)
	if err != nil {
		return err
	}
	check("callees", callees, w.callees)
	if w.final {
		check("ended", i.Ended != nil && i.Started != nil && !i.Ended.Before(*i.Started), true)
		check("gaps", len(i.Gaps), 0)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s: %s", i.ID, strings.Join(problems, "; "))
	}
	return nil
}

// callees lists whom i invoked.
func (s *stories) callees(i api.Invocation) (string, error) {
	var all []string
	for _, c := range i.Callees {
		callee, err := s.get(c.ID)
		if err != nil {
			return "", err
		}
		if i.Final {
			callee.Target += " " + c.Origin
		}
		all = append(all, callee.Target)
	}
	slices.Sort(all)
	return strings.Join(all, ", "), nil
}

// keep records what the API answers on stories, if that is asked for.
func (s *stories) keep(when string, names ...string) {
	s.t.Helper()
	if *record == "" {
		return
	}
	dir := filepath.Join(*record, when)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	answer := func(path, accept string) []byte {
		body, err := s.client.Get(s.t.Context(), "/api/invoscope/v1/invocations"+path, accept)
		if err != nil {
			s.t.Fatal(err)
		}
		return body
	}
	write := func(name string, body []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	write("list.json", answer("", "application/json"))
	for _, name := range names {
		write(name+".json", answer("/"+s.id[name], "application/json"))
		alone := answer("/"+s.id[name]+"/timeline", "application/x-ndjson")
		write(name+".ndjson", alone)
		if all := answer("/"+s.id[name]+"/timeline?relatives=callers,callees", "application/x-ndjson"); !bytes.Equal(alone, all) {
			write(name+".relatives.ndjson", all)
		}
	}
}

func unmarshal(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode %s: %w", body, err)
	}
	return nil
}

func decodeJSON(t *testing.T, body []byte, v any) {
	t.Helper()
	if err := unmarshal(body, v); err != nil {
		t.Fatal(err)
	}
}

// inOrder checks that text has all parts, one after the other.
func inOrder(t *testing.T, what, text string, parts []string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("%s: %q isn't there, or not after what comes before it, in\n%s", what, part, text)
			return
		}
		rest = after
	}
}

// What differs from run to run in a story, and what stands for it.
var volatile = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z`), "TIME"},
	{regexp.MustCompile(`(?m)^ *[+-]\d+[0-9.hms]*  `), "      +TIME  "},
	{regexp.MustCompile(`(?m)^ {12}`), "             "},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|s)\b|\b\d+m\d\ds\b`), "SPAN"},
	{regexp.MustCompile(`retrying in [^\[]*\. \[`), "retrying in SPAN. ["},
	{regexp.MustCompile(`\b\d+ more attempts`), "N more attempts"},
	{regexp.MustCompile(`\battempt \d\d+ `), "attempt N "},
	{regexp.MustCompile(`\b\d\d+ attempts`), "N attempts"},
	{regexp.MustCompile(`\b\d+ log lines`), "N log lines"},
	{regexp.MustCompile(`stack trace of \d+ lines`), "stack trace of N lines"},
}

// journalCall is the entry of a call in the caller's journal. Restate dates it by itself,
// to within a millisecond of what is called: on a busy machine it comes after that.
var journalCall = regexp.MustCompile(`(?m)^.*─ ((?:one-way )?call)\n`)

// anonymous is a story without what differs from run to run.
func (s *stories) anonymous(story string) string {
	for name, id := range s.id {
		story = strings.ReplaceAll(story, id, "inv_"+name)
	}
	story = invocationID.ReplaceAllString(story, "inv_another")
	for _, v := range volatile {
		story = v.pattern.ReplaceAllString(story, v.instead)
	}
	for _, entry := range journalCall.FindAllStringSubmatch(story, -1) {
		story += "and a " + entry[1] + " in the journal\n"
	}
	return journalCall.ReplaceAllString(story, "")
}

// compare compares with a golden file, or writes it when that is asked for.
func compare(t *testing.T, path, got string) error {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		return fmt.Errorf("%s (-want +got; go test -update writes it anew):\n%s", path, diff)
	}
	return nil
}
