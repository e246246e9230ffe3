package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/ship"
)

// shipOptions parses args as invoscope ship does.
func shipOptions(t *testing.T, args ...string) (ship.Options, error) {
	t.Helper()
	var c shipCmd
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		return ship.Options{}, err
	}
	return c.options()
}

func TestShipFindsTheDaemon(t *testing.T) {
	running, empty := t.TempDir(), t.TempDir()
	info := runinfo.Info{HTTP: "http://127.0.0.1:4100", TokenFile: filepath.Join(running, "token")}
	if err := runinfo.Write(running, info); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, dir, args string
		url, token      string
	}{
		{"running", running, "", info.HTTP, info.TokenFile},
		{"running, same address", running, "--url " + info.HTTP, info.HTTP, info.TokenFile},
		{"its token is for nobody else", running, "--url https://logs.example", "https://logs.example", ""},
		{"own token", running, "--token-file T", info.HTTP, "T"},
		{"all given", running, "--url https://logs.example --token-file T", "https://logs.example", "T"},
		{"not running", empty, "", ship.DefaultURL, filepath.Join(empty, "token")},
		{"not running, elsewhere", empty, "--url http://127.0.0.1:1", "http://127.0.0.1:1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := shipOptions(t, append(strings.Fields(tt.args), "--data-dir", tt.dir)...)
			if err != nil {
				t.Fatal(err)
			}
			if o.URL != tt.url || o.TokenFile != tt.token || o.StateDir != filepath.Join(tt.dir, "ship") {
				t.Errorf("%s, %s, %s; want %s, %s", o.URL, o.TokenFile, o.StateDir, tt.url, tt.token)
			}
		})
	}
}

func TestShipFlags(t *testing.T) {
	dir := t.TempDir()
	// The shell made three names of --file *.log.
	o, err := shipOptions(t, "--data-dir", dir, "--label", "a=1;b=2,3", "--label", "env=dev", "--start-at", "end", "--file", "1,.log", "2.log", "3.log")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1,.log", "2.log", "3.log"}, o.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"a": "1;b=2,3", "env": "dev"}, o.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if !o.FromEnd {
		t.Error("--start-at end is not heard")
	}
	if o, err = shipOptions(t, "--data-dir", dir, "--file", "-"); err != nil || o.Files != nil {
		t.Errorf("--file -: %q, %v", o.Files, err)
	}
	if !o.StateShared || o.Buffer != ship.DefaultBuffer || o.Format != ship.FormatAuto || o.MultilineWait != ship.DefaultMultilineWait {
		t.Errorf("by default: %+v", o)
	}
	for _, args := range [][]string{{"--no-multiline"}, {"--multiline-wait=0s"}, {"--no-multiline", "--multiline-wait", "3s"}} {
		if o, err = shipOptions(t, append(args, "--data-dir", dir)...); err != nil || o.MultilineWait != 0 {
			t.Errorf("%q: %v, %v", args, o.MultilineWait, err)
		}
	}
	if o, err = shipOptions(t, "--multiline-wait", "2s", "--data-dir", dir); err != nil || o.MultilineWait != 2*time.Second {
		t.Errorf("--multiline-wait 2s: %v, %v", o.MultilineWait, err)
	}
	for _, args := range [][]string{{"--file", "-", "1.log"}, {"--journald", "1.log"}, {"--buffer", "much"}, {"--format", "xml"}, {"--multiline-wait=-1s"}} {
		if _, err = shipOptions(t, append(args, "--data-dir", dir)...); err == nil {
			t.Errorf("%q is not refused", args)
		}
	}
	for _, args := range [][]string{{"--journald"}, {"--unit", "restate.service"}, {"--journal-directory", "/j"}} {
		if o, err = shipOptions(t, append(args, "--data-dir", dir)...); err != nil || o.Journal == nil || o.StateShared {
			t.Errorf("%q: %+v, %v", args, o, err)
		}
	}
}

// TestShipExamples keeps the examples in step with the flags.
func TestShipExamples(t *testing.T) {
	argument, comment := regexp.MustCompile(`--[a-z-]+=\S+`), regexp.MustCompile(`(?m)^\s*#.*$`)
	for file, want := range map[string]string{
		"kubernetes/ship-daemonset.yaml": "/var/log/pods/*/restate/*.log*",
		"kubernetes/ship-sidecar.yaml":   "/logs/restate.log*",
		"systemd/invoscope-ship.service": "restate.service",
	} {
		raw, err := os.ReadFile(filepath.Join("../../deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		o, err := shipOptions(t, append(argument.FindAllString(comment.ReplaceAllString(string(raw), ""), -1), "--data-dir", t.TempDir())...)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		sources := o.Files
		if o.Journal != nil {
			sources = o.Journal.Units
		}
		if !slices.Equal(sources, []string{want}) || o.StateDir == "" || o.TokenFile == "" || o.StateShared {
			t.Errorf("%s: %+v", file, o)
		}
		if filepath.Ext(file) == ".yaml" {
			var manifest map[string]any
			if err := yaml.Unmarshal(raw, &manifest); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}
