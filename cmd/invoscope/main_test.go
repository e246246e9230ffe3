package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
)

func TestExitCodes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("listen: {htpp: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		out  string // stands in stdout
		err  string // stands in stderr
	}{
		"a valid configuration":  {[]string{"config", "check"}, 0, "valid", ""},
		"printed with a flag":    {[]string{"config", "print", "--http", "127.0.0.1:7"}, 0, "http: 127.0.0.1:7", ""},
		"an invalid one":         {[]string{"config", "check", "--config", bad}, 1, "", bad + `:1:10: listen: unknown key "htpp" (did you mean "http"?)`},
		"an invalid flag":        {[]string{"config", "check", "--admin", "x"}, 1, "", `listen.admin: want host:port, not "x"`},
		"an unknown flag":        {[]string{"serve", "--bogus"}, exitUsage, "", "--bogus"},
		"no command":             {nil, exitUsage, "", "serve"},
		"an address that is bad": {[]string{"serve", "--http", "x", "--data-dir", t.TempDir()}, 1, "", "listen.http"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(c.args, strings.NewReader(""), &stdout, &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !strings.Contains(stdout.String(), c.out) || !strings.Contains(stderr.String(), c.err) {
				t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
			}
		})
	}
}

// The commands of the welcome survive being copied into a shell.
func TestWelcomeQuotesPaths(t *testing.T) {
	var b strings.Builder
	printWelcome(&b, runinfo.Info{HTTP: "http://h:1", OTLPGRPC: "h:2", OTLPHTTP: "http://h:3", Tenant: "default", TokenFile: "/my data/it's/token"})
	for _, want := range []string{
		`  token    /my data/it's/token` + "\n",
		`RESTATE_TRACING_HEADERS__AUTHORIZATION="Bearer $(cat '/my data/it'\''s/token')"`,
		`RESTATE_TRACING_ENDPOINT=otlp+http://h:3/v1/traces`,
		`LOKI_ADDR=http://h:1 LOKI_BEARER_TOKEN_FILE='/my data/it'\''s/token' `,
		`grafana provision --url http://h:1 --token-file '/my data/it'\''s/token' >`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s\nis not in\n%s", want, b.String())
		}
	}
}

// What goes to standard error has no secrets in it: errors, logs, what arguments say.
func TestStandardErrorHasNoSecrets(t *testing.T) {
	const secret = "eyJhbGciOiJFZERTQSJ9.eyJ0ZW5hbnQiOiJhY21lIn0.c2ln"
	for name, args := range map[string][]string{
		"an argument": {"serve", secret},
		"an error":    {"config", "check", "--admin", "Bearer " + secret},
		"an address":  {"serve", "--http", secret, "--data-dir", t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			if code := run(args, strings.NewReader(""), io.Discard, &stderr); code == 0 {
				t.Error("it succeeds")
			}
			if strings.Contains(stderr.String(), "c2ln") || !strings.Contains(stderr.String(), "<secret>") {
				t.Errorf("stderr: %s", stderr.String())
			}
		})
	}
}
