package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

// offline runs the subcommands that need no daemon, as a user types them.
type offline struct {
	now   time.Time
	stdin string
}

func (o *offline) run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var cli struct {
		Token   tokenCmd   `cmd:""`
		Key     keyCmd     `cmd:""`
		Grafana grafanaCmd `cmd:""`
		Queue   queueCmd   `cmd:""`
	}
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return "", "", err
	}
	var out, errOut bytes.Buffer
	g := &globals{
		ctx: t.Context(), stdin: strings.NewReader(o.stdin), stdout: &out, stderr: &errOut,
		log: slog.New(slog.DiscardHandler), now: func() time.Time { return o.now },
	}
	err = command.Run(g)
	return out.String(), errOut.String(), err
}

// runOffline runs one of them, now.
func runOffline(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return (&offline{now: time.Now()}).run(t, args...)
}

func TestTokenIssue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	stdout, stderr, err := runOffline(t, "token", "issue", "--data-dir", dir, "--tenant", "acme",
		"--scope", "logs:read,traces:read", "--scope", "logs:write", "--subject", "ci", "--ttl", "1h")
	if err != nil {
		t.Fatal(err)
	}
	token, rest, _ := strings.Cut(stdout, "\n")
	if rest != "" || strings.ContainsAny(token, " \t") || stderr != "" {
		t.Fatalf("stdout %q, stderr %q; want the token alone", stdout, stderr)
	}

	key, err := store.Open(dir, time.Now).SigningKey()
	if err != nil {
		t.Fatal(err)
	}
	id, err := tenancy.NewAuthenticator(tenancy.Policy{Issuers: []tenancy.Issuer{tenancy.Own(key.Keys())}}, time.Now).
		Authenticate(tenancy.Caller{Authorization: []string{"Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	if id.Tenant != "acme" || id.Subject != "ci" {
		t.Errorf("tenant %q, subject %q", id.Tenant, id.Subject)
	}
	if diff := cmp.Diff([]tenancy.Scope{tenancy.LogsRead, tenancy.TracesRead, tenancy.LogsWrite}, id.Scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
	if left := time.Until(id.Expires); left <= 0 || left > time.Hour {
		t.Errorf("expires in %s, want an hour", left)
	}
}

func TestTokenIssueDefaults(t *testing.T) {
	t.Setenv("INVOSCOPE_DATA_DIR", t.TempDir())
	stdout, stderr, err := runOffline(t, "token", "issue", "--scope", "logs:read")
	if err != nil || stderr != "" {
		t.Fatalf("%v, stderr %q", err, stderr)
	}
	if got := tenancy.UnverifiedTenant(strings.TrimSpace(stdout)); got != "default" {
		t.Errorf("tenant %q, want default", got)
	}
}

func TestTokenIssueWarnsAboutALongLife(t *testing.T) {
	stdout, stderr, err := runOffline(t, "token", "issue", "--data-dir", t.TempDir(), "--scope", "logs:read", "--ttl", "2161h")
	if err != nil || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("stdout %q, %v", stdout, err)
	}
	if !strings.Contains(stderr, "warning") || !strings.Contains(stderr, "90d1h") || !strings.Contains(stderr, "token revoke ") {
		t.Errorf("stderr %q, want a warning", stderr)
	}
}

func TestTokenIssueRefuses(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"no scope":      {nil, "--scope"},
		"unknown scope": {[]string{"--scope", "logs:raed"}, "traces:write"},
		"bad tenant":    {[]string{"--scope", "admin", "--tenant", "a|b"}, "tenant"},
		"no life":       {[]string{"--scope", "admin", "--ttl", "0s"}, "too short"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			stdout, _, err := runOffline(t, append([]string{"token", "issue", "--data-dir", dir}, tt.args...)...)
			if err == nil || stdout != "" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("stdout %q, %v; want an error with %q", stdout, err, tt.want)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("a refused request left a data directory behind")
			}
		})
	}
}
