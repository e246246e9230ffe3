package test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	makeTarget   = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
	markdownLink = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	codeBlock    = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
)

func TestMarkdownLinks(t *testing.T) {
	found := 0
	walkSources(t, func(path string) {
		if filepath.Ext(path) != ".md" {
			return
		}
		text := codeBlock.ReplaceAllString(readSource(t, path), "")
		for _, m := range markdownLink.FindAllStringSubmatch(text, -1) {
			link, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: link %q: %v", path, m[1], err)
				continue
			}
			if link.IsAbs() || link.Path == "" {
				continue
			}
			found++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), link.Path)); err != nil {
				t.Errorf("%s: link %q leads nowhere", path, m[1])
			}
		}
	})
	if found == 0 {
		t.Error("no relative link found; does the pattern still match?")
	}
}

func TestMakeHelpListsEveryTarget(t *testing.T) {
	out, err := exec.Command("make", "-C", moduleRoot, "--no-print-directory", "help").Output()
	if err != nil {
		t.Fatalf("make help: %v", err)
	}
	var listed []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			t.Errorf("make help: no explanation in %q", line)
			continue
		}
		listed = append(listed, fields[0])
	}
	targets := makeTargets(t)
	slices.Sort(listed)
	slices.Sort(targets)
	if !slices.Equal(listed, targets) {
		t.Errorf("make help lists %v; the targets are %v", listed, targets)
	}
}

// makeTargets answers the Makefile's targets, without those that are files.
func makeTargets(t *testing.T) []string {
	t.Helper()
	var targets []string
	for _, m := range makeTarget.FindAllStringSubmatch(readSource(t, filepath.Join(moduleRoot, "Makefile")), -1) {
		targets = append(targets, m[1])
	}
	return targets
}

func readSource(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
