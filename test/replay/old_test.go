//go:build integration

package replay

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/test/harness"
)

// TestOldLines ships what was logged yesterday together with what is logged now,
// and more of yesterday's after that, all into one stream.
func TestOldLines(t *testing.T) {
	d := harness.Start(t)
	yesterday := time.Now().Add(-26 * time.Hour)
	rotated := dated("rotated", yesterday, 1500)
	live := dated("live", time.Now().Add(-time.Minute), 1500)
	late := dated("late", yesterday.Add(time.Hour), 1500)

	dir := t.TempDir()
	follow := exec.Command(harness.Binary(t, "invoscope"), "ship", "--url", d.HTTP, "--token-file", d.TokenFile,
		"--label", "cluster=recorded", "--state-dir", filepath.Join(dir, "state"),
		"--file", write(t, dir, "a.log", rotated), "--file", write(t, dir, "b.log", live))
	proc := harness.Spawn(t, follow)
	awaitLines(t, d.Client(), rotated, live)
	if err := proc.Terminate(visibleLimit); err != nil {
		t.Fatalf("stop invoscope ship: %v", err)
	}

	ship(t, d.Client(), late)
	awaitLines(t, d.Client(), rotated, late, live)

	series, err := d.Client().Logcli(t, "series", "--quiet", "--since=48h", "{}")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(series, "\n"); n != 1 {
		t.Errorf("%d streams, want 1:\n%s", n, series)
	}
}

// dated are n lines, a millisecond apart, the first at the given time.
func dated(name string, from time.Time, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		at := from.Add(time.Duration(i) * time.Millisecond).UTC().Format("2006-01-02T15:04:05.000000Z")
		lines[i] = fmt.Sprintf(`{"timestamp":"%s","level":"INFO","fields":{"message":"%s %d"},"target":"restate"}`, at, name, i)
	}
	return lines
}

// write returns the path of a new file.
func write(t *testing.T, dir, name string, lines []string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// awaitLines waits until the lines of two days are these, in the order of time.
func awaitLines(t *testing.T, c harness.Client, parts ...[]string) {
	t.Helper()
	var want []string
	for _, part := range parts {
		want = append(want, part...)
	}
	harness.Poll(t, visibleLimit, "all lines are there", func() error {
		out, err := c.Logcli(t, "query", "--quiet", "--no-labels", "--forward", "--limit=5000", "--batch=5000",
			"--since=48h", "--output=raw", `{cluster="recorded"}`)
		if err != nil {
			return err
		}
		got := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if len(got) != len(want) {
			return fmt.Errorf("%d lines, want %d", len(got), len(want))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("lines (-want +got):\n%.2000s", diff)
		}
		return nil
	})
}
