package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// dockerStep is one instruction of the Dockerfile, its flags apart.
type dockerStep struct {
	name  string
	flags []string
	args  []string
}

// TestDockerfileSteps checks, without a container engine, that what each step
// names is there: files, make targets, folders that earlier steps made.
func TestDockerfileSteps(t *testing.T) {
	made := []string{"/src"} // paths that exist in the build stage
	for _, step := range readDockerfile(t) {
		switch step.name {
		case "COPY", "ADD":
			sources := step.args[:len(step.args)-1]
			if slices.Contains(step.flags, "--from=build") {
				checkBuilt(t, sources, made)
			} else {
				checkContext(t, sources)
			}
		case "RUN":
			made = append(made, checkCommand(t, step.args)...)
		case "ENTRYPOINT":
			if got := execForm(t, step); !slices.Equal(got, []string{"/usr/local/bin/invoscope"}) {
				t.Errorf("ENTRYPOINT %v: want the invoscope that COPY puts there", got)
			}
		case "CMD":
			if got := execForm(t, step); len(got) == 0 || got[0] != "serve" {
				t.Errorf("CMD %v: want the subcommand serve first", got)
			}
		case "USER":
			if user, _, _ := strings.Cut(step.args[0], ":"); user != "65532" {
				t.Errorf("USER %v: want the number of the non-root user", step.args)
			}
		case "FROM", "WORKDIR", "ARG", "VOLUME", "EXPOSE":
		default:
			t.Errorf("%s: this test doesn't know how to check it", step.name)
		}
	}
}

// checkBuilt checks sources of a COPY from the build stage: what make builds in
// /src/bin, or what an earlier RUN made.
func checkBuilt(t *testing.T, sources, made []string) {
	t.Helper()
	makefile := readSource(t, filepath.Join(moduleRoot, "Makefile"))
	for _, source := range sources {
		built, inBin := strings.CutPrefix(source, "/src/")
		if inBin && !strings.Contains(makefile, built) || !inBin && !slices.Contains(made, source) {
			t.Errorf("COPY --from=build %s: no step makes it", source)
		}
	}
}

// checkContext checks sources of a COPY from the build context, which lacks
// what .dockerignore names.
func checkContext(t *testing.T, sources []string) {
	t.Helper()
	ignored := strings.Fields(readSource(t, filepath.Join(moduleRoot, ".dockerignore")))
	for _, source := range sources {
		if _, err := os.Stat(filepath.Join(moduleRoot, source)); err != nil {
			t.Errorf("COPY %s: %v", source, err)
		}
		if slices.Contains(ignored, strings.TrimPrefix(source, "./")) {
			t.Errorf("COPY %s: .dockerignore leaves it out", source)
		}
	}
}

// checkCommand checks a RUN step, and answers the folders that it makes.
func checkCommand(t *testing.T, words []string) (made []string) {
	t.Helper()
	command := words[0]
	if _, err := exec.LookPath(command); err != nil {
		t.Errorf("RUN %s: %v", command, err)
	}
	switch command {
	case "make":
		targets := makeTargets(t)
		for _, word := range words[1:] {
			if !strings.Contains(word, "=") && !slices.Contains(targets, word) {
				t.Errorf("RUN make %s: the Makefile has no such target", word)
			}
		}
	case "mkdir":
		return words[1:]
	case "go":
		if !slices.Equal(words, []string{"go", "mod", "download"}) {
			t.Errorf("RUN %v: want make for everything but `go mod download`", words)
		}
	default:
		t.Errorf("RUN %v: this test doesn't know how to check it", words)
	}
	return nil
}

// readDockerfile splits the Dockerfile into steps; a line is a step.
func readDockerfile(t *testing.T) []dockerStep {
	t.Helper()
	var steps []dockerStep
	for line := range strings.Lines(readSource(t, filepath.Join(moduleRoot, "Dockerfile"))) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if words[len(words)-1] == `\` || slices.Contains(words, "&&") {
			t.Fatalf("%q: keep it to one command a line, so that this test can check each", line)
		}
		step := dockerStep{name: words[0]}
		for _, word := range words[1:] {
			if strings.HasPrefix(word, "--") && len(step.args) == 0 {
				step.flags = append(step.flags, word)
			} else {
				step.args = append(step.args, word)
			}
		}
		steps = append(steps, step)
	}
	return steps
}

func execForm(t *testing.T, step dockerStep) []string {
	t.Helper()
	var words []string
	if err := json.Unmarshal([]byte(strings.Join(step.args, " ")), &words); err != nil {
		t.Fatalf("%s: want the exec form: %v", step.name, err)
	}
	return words
}
