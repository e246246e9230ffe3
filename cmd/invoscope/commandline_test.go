package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// secrets are what differs from run to run, with a name of the same length each.
type secrets struct {
	found map[string]string
}

var (
	tokenPattern = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|inv_tok_[A-Z2-7]{26}_[A-Z2-7]{26}`)
	idPattern    = regexp.MustCompile(`\b[A-Z2-7]{26}\b`)
	keyPattern   = regexp.MustCompile(`[A-Za-z0-9_-]{43}`)
)

// hide replaces tokens, ids and keys by their names.
func (s *secrets) hide(text string) string {
	for _, kind := range []struct {
		name    string
		pattern *regexp.Regexp
	}{{"TOKEN", tokenPattern}, {"ID", idPattern}, {"KEY", keyPattern}} {
		text = kind.pattern.ReplaceAllStringFunc(text, func(one string) string {
			if s.found[one] == "" {
				n := 1
				for _, known := range s.found {
					if strings.HasPrefix(known, kind.name) {
						n++
					}
				}
				name := kind.name + strconv.Itoa(n)
				if kind.name != "TOKEN" {
					name += strings.Repeat("_", max(len(one)-len(name), 0))
				}
				s.found[one] = name
			}
			return s.found[one]
		})
	}
	return text
}

// commandLine runs commands on a data directory and writes down what they say.
type commandLine struct {
	t *testing.T
	offline
	dir string
	secrets
	log bytes.Buffer
}

// do runs one command, and returns what it printed.
func (s *commandLine) do(args ...string) string {
	s.t.Helper()
	stdout, stderr, err := s.run(s.t, append(args, "--data-dir", s.dir)...)
	s.now = s.now.Add(time.Minute)
	stdin := ""
	if s.stdin != "" {
		stdin = " < " + s.stdin
	}
	fmt.Fprintf(&s.log, "$ invoscope %s%s\n%s", strings.Join(args, " "), stdin, stdout)
	for line := range strings.Lines(stderr) {
		fmt.Fprintf(&s.log, "stderr: %s", line)
	}
	if err != nil {
		fmt.Fprintf(&s.log, "error: %v\n", err)
	}
	s.log.WriteByte('\n')
	s.stdin = ""
	return strings.TrimSpace(stdout)
}

func newSession(t *testing.T) *commandLine {
	t.Helper()
	return &commandLine{
		t: t, dir: filepath.Join(t.TempDir(), "data"), secrets: secrets{map[string]string{}},
		offline: offline{now: time.Date(2026, 11, 23, 12, 0, 0, 300e6, time.UTC)},
	}
}

func (s *commandLine) inspect(token string, args ...string) {
	s.t.Helper()
	s.stdin = token
	s.do(append([]string{"token", "inspect"}, args...)...)
}

func (s *commandLine) golden(name string) {
	s.t.Helper()
	got := strings.ReplaceAll(s.hide(s.log.String()), s.dir, "DATA")
	path := filepath.Join("testdata", "token", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		s.t.Errorf("(-want +got; go test -update writes it anew):\n%s", diff)
	}
}
