//go:build integration

package replay

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/invoscope/invoscope/test/harness"
)

// multiline is a recording whose records have several lines.
type multiline struct {
	name, file string
	begin      *regexp.Regexp // of a record's first line, with its time as the group
	errors     *regexp.Regexp // in a record that has a stack trace
	count      int            // of these
}

var multilines = []multiline{
	{"compact", "restate-compact.log", regexp.MustCompile(`^(2026-11-23T\S+?Z) `), regexp.MustCompile(` WARN `), 10},
	{"pretty", "restate-pretty.log", regexp.MustCompile("^\x1b\\[2m(2026-11-23T\\S+?Z)\x1b"), regexp.MustCompile(`WARN`), 10},
	{"sdk", "service-sdk-debug.log", regexp.MustCompile(`^\[restate\]\[(2026-11-23T\S+?Z)\]`), regexp.MustCompile(`(?m)^Stacktrace: .*\n    at `), 19},
}

var anyInvocation = regexp.MustCompile(`inv_1[0-9A-Za-z]{33}`)

// records cuts the recording at the lines that begin a record, moved in time so that
// it ended a minute ago.
func (m multiline) records(t *testing.T) (records []string) {
	t.Helper()
	var shift time.Duration
	lines := readLines(t, m.file)
	for _, line := range slices.Backward(lines) {
		if match := m.begin.FindStringSubmatch(line); match != nil {
			shift = time.Now().Add(-time.Minute).Sub(stamp(t, match[1])).Truncate(time.Millisecond)
			break
		}
	}
	for _, line := range lines {
		if match := m.begin.FindStringSubmatch(line); match != nil {
			moved := stamp(t, match[1]).Add(shift).UTC().Format(timeLayout)
			records = append(records, strings.Replace(line, match[1], moved, 1))
		} else {
			records[len(records)-1] += "\n" + line
		}
	}
	return records
}

// distinct leaves out repeats: the SDK's clock ticks milliseconds, and Loki keeps one
// of several entries that are equal in time and text.
func distinct(records []string) (once []string) {
	for _, r := range records {
		if !slices.Contains(once, r) {
			once = append(once, r)
		}
	}
	return once
}

func stamp(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// stored is an entry as logcli prints it.
type stored struct {
	Line   string            `json:"line"`
	Labels map[string]string `json:"labels"` // with the structured metadata
}

func storedFor(t *testing.T, c harness.Client, query string) (found []stored, err error) {
	t.Helper()
	out, err := c.Logcli(t, "query", "--quiet", "--forward", "--limit=5000", "--batch=5000", "--since=1h", "--output=jsonl", query)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		var e stored
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("read what logcli prints: %w", err)
		}
		found = append(found, e)
	}
	return found, nil
}

func texts(found []stored) (lines []string) {
	for _, e := range found {
		lines = append(lines, e.Line)
	}
	return lines
}

// TestMultiline ships recordings of records with several lines through a pipe, and
// from a file while ship is killed in the middle of a record. What Loki has are the
// records, each once and whole, and a stack trace is found by its invocation.
func TestMultiline(t *testing.T) {
	d := harness.Start(t)
	for _, m := range multilines {
		records := m.records(t)
		for way, send := range map[string]func(*testing.T, harness.Client, []string, string){"pipe": throughPipe, "file": fromFile} {
			t.Run(m.name+" "+way, func(t *testing.T) {
				label := m.name + "-" + way
				send(t, d.Client(), records, label)
				query := fmt.Sprintf(`{kubernetes_container_name="restate", way=%q}`, label)
				var found []stored
				harness.Poll(t, visibleLimit, "all records are there", func() (err error) {
					if found, err = storedFor(t, d.Client(), query); err != nil {
						return err
					}
					return same(distinct(records), texts(found))
				})
				m.checkErrors(t, d.Client(), query, found)
			})
		}
	}
}

// checkErrors finds each error with its stack trace by its invocation id.
func (m multiline) checkErrors(t *testing.T, c harness.Client, query string, found []stored) {
	t.Helper()
	n := 0
	for _, e := range found {
		id := anyInvocation.FindString(e.Line)
		if id == "" || !m.errors.MatchString(e.Line) {
			continue
		}
		n++
		if got := e.Labels["restate_invocation_id"]; got != id {
			t.Errorf("restate_invocation_id %q, want %q: %s", got, id, e.Line)
		}
		if lines := strings.Count(e.Line, "\n") + 1; lines < 3 {
			t.Errorf("an error of %d lines: %s", lines, e.Line)
		}
		own, err := storedFor(t, c, query+fmt.Sprintf(` | restate_invocation_id=%q`, id))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(texts(own), e.Line) {
			t.Errorf("%s doesn't lead to %s", id, e.Line)
		}
	}
	if n != m.count {
		t.Errorf("%d errors with an invocation, want %d", n, m.count)
	}
}

func throughPipe(t *testing.T, c harness.Client, records []string, label string) {
	t.Helper()
	cmd := c.Ship(t, "way="+label)
	cmd.Stdin = strings.NewReader(strings.Join(records, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("invoscope ship: %v\n%s", err, out)
	}
}

// fromFile kills ship after half of the first record that has three lines or more,
// and stops it when the rest is written.
func fromFile(t *testing.T, c harness.Client, records []string, label string) {
	t.Helper()
	path, state := filepath.Join(t.TempDir(), "server.log"), t.TempDir()
	at := slices.IndexFunc(records, func(r string) bool { return strings.Count(r, "\n") >= 2 })
	first, rest, _ := strings.Cut(records[at], "\n")
	second, rest, _ := strings.Cut(rest, "\n")
	before := strings.Join(append(slices.Clone(records[:at]), ""), "\n")
	put(t, path, before+first+"\n"+second+"\n")

	ship := func(wait string) *harness.Process {
		cmd := c.Ship(t, "way="+label)
		cmd.Args = slices.Replace(cmd.Args, len(cmd.Args)-4, len(cmd.Args)-2, "--file", path)
		cmd.Args = append(cmd.Args, "--state-dir", state, "--multiline-wait", wait)
		return harness.Spawn(t, cmd)
	}
	killed := ship("1h")
	awaitOffset(t, state, len(before))
	if err := syscall.Kill(killed.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-killed.Done()
	put(t, path, before+first+"\n"+second+"\n"+rest+"\n"+strings.Join(records[at+1:], "\n")+"\n")
	again := ship("500ms")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	awaitOffset(t, state, int(info.Size()))
	if err := again.Terminate(visibleLimit); err != nil {
		t.Errorf("stop ship: %v", err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitOffset waits until ship has saved that it read a file to an offset; 0 is that
// it has saved anything.
func awaitOffset(t *testing.T, state string, offset int) {
	t.Helper()
	harness.Poll(t, visibleLimit, "offset "+strconv.Itoa(offset), func() error {
		saved, err := os.ReadFile(filepath.Join(state, "knownFiles.checkpoint"))
		if err != nil {
			return err
		}
		if !strings.Contains(string(saved), fmt.Sprintf(`"Offset":%d,`, offset)) {
			return fmt.Errorf("saved is %s", saved)
		}
		return nil
	})
}
