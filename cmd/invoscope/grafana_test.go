package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
)

// writeToken puts a new token for tenant into a file and returns its path and text.
func writeToken(t *testing.T, tenant string) (path, token string) {
	t.Helper()
	token, _, err := runOffline(t, "token", "issue", "--data-dir", t.TempDir(), "--tenant", tenant, "--scope", "logs:read")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, strings.TrimSpace(token)
}

func TestGrafanaProvision(t *testing.T) {
	running, stopped := t.TempDir(), t.TempDir()
	ownPath, own := writeToken(t, "default")
	acmePath, acme := writeToken(t, "acme")
	opaquePath := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(opaquePath, []byte("opaque\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := runinfo.Write(running, runinfo.Info{HTTP: "http://127.0.0.1:41234", Tenant: "default", TokenFile: ownPath}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stopped, "token"), []byte(own+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	tests := map[string]struct {
		args []string
		want []string
	}{
		"running": {[]string{"--data-dir", running},
			[]string{"url: http://127.0.0.1:41234\n", "Bearer " + own + "\n", "invoscope-default-loki", "SECRET"}},
		"stopped": {[]string{"--data-dir", stopped},
			[]string{"url: http://127.0.0.1:3100\n", "Bearer " + own + "\n", "invoscope-default-loki"}},
		"everything given": {[]string{"--data-dir", running, "--url", "https://obs.example.com", "--tenant", "acme", "--token-file", acmePath},
			[]string{"url: https://obs.example.com\n", "Bearer " + acme + "\n", "invoscope-acme-tempo"}},
		"tenant from the token": {[]string{"--data-dir", running, "--token-file", acmePath},
			[]string{"Bearer " + acme + "\n", "invoscope-acme-tempo"}},
		"opaque token": {[]string{"--data-dir", running, "--token-file", opaquePath, "--tenant", "acme"},
			[]string{"Bearer opaque\n", "invoscope-acme-tempo"}},
		"environment": {[]string{"--data-dir", running, "--token-env", "MY_TOKEN", "--tenant", "acme"},
			[]string{"Bearer $MY_TOKEN\n", "invoscope-acme-tempo"}},
		"environment, no data": {[]string{"--data-dir", filepath.Join(stopped, "none"), "--token-env", "MY_TOKEN"},
			[]string{"Bearer $MY_TOKEN\n", "invoscope-default-tempo"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := runOffline(t, append([]string{"grafana", "provision"}, tt.args...)...)
			if err != nil || stderr != "" {
				t.Fatalf("%v, stderr %q", err, stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("no %q in\n%s", want, stdout)
				}
			}
			if strings.Contains(stdout, "MY_TOKEN") && strings.Contains(stdout, own) {
				t.Error("the output holds a token although Grafana is to take it from its environment")
			}
		})
	}
}

func TestGrafanaProvisionRefuses(t *testing.T) {
	dir := t.TempDir()
	acmePath, _ := writeToken(t, "acme")
	tests := map[string]struct {
		args []string
		want string
	}{
		"never started":      {nil, "invoscope serve"},
		"no such token file": {[]string{"--token-file", filepath.Join(dir, "none")}, "no such file"},
		"another's token":    {[]string{"--token-file", acmePath, "--tenant", "other"}, "for tenant acme, not other"},
		"two sources":        {[]string{"--token-file", acmePath, "--token-env", "X"}, "--token-"},
		"URL without a host": {[]string{"--token-file", acmePath, "--url", "localhost:3100"}, "URL"},
		"unusable name":      {[]string{"--token-env", "A B"}, "environment variable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stdout, _, err := runOffline(t, append([]string{"grafana", "provision", "--data-dir", dir}, tt.args...)...)
			if err == nil || stdout != "" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("stdout %q, %v; want an error with %q", stdout, err, tt.want)
			}
		})
	}
	if err := os.WriteFile(filepath.Join(dir, "run.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := runOffline(t, "grafana", "provision", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "run.json") {
		t.Errorf("a broken run.json gives %v", err)
	}
}
