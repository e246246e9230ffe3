//go:build integration

package test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDockerfileFlags asks the built daemon whether it knows the flags that the
// image starts it with.
func TestDockerfileFlags(t *testing.T) {
	help, err := exec.Command(filepath.Join(moduleRoot, "bin", "invoscope"), "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("invoscope serve --help (does `make build` come before?): %v\n%s", err, help)
	}
	found := 0
	for _, step := range readDockerfile(t) {
		if step.name != "CMD" {
			continue
		}
		for _, word := range execForm(t, step) {
			if !strings.HasPrefix(word, "--") {
				continue
			}
			found++
			if !strings.Contains(string(help), word) {
				t.Errorf("CMD %s: invoscope serve has no such flag", word)
			}
		}
	}
	if found == 0 {
		t.Error("CMD has no flags; does the pattern still match?")
	}
}
