package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, yaml string, override func(*Config)) (Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "invoscope.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if override == nil {
		override = func(*Config) {}
	}
	c, err := Load(file, override)
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), file, "F"))
	}
	return c, err
}

func TestDefaultsAreValid(t *testing.T) {
	c, err := Load("", func(*Config) {})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Error(diff)
	}
}

func TestFileGoesOverDefaultsAndFlagsOverBoth(t *testing.T) {
	t.Setenv("INVOSCOPE_TEST_HOST", "10.0.0.1")
	c, err := load(t, `
listen:
  http: ${INVOSCOPE_TEST_HOST}:${INVOSCOPE_TEST_PORT:-3200}
  admin: 127.0.0.1:1
log:
ingest: {max_request_bytes: 20MiB}
engines:
  loki:
    url: https://loki.example.com
    headers: {Authorization: Basic c2VjcmV0}
`, func(c *Config) { c.Listen.Admin = "127.0.0.1:0" })
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Listen.HTTP, want.Listen.Admin = "10.0.0.1:3200", "127.0.0.1:0"
	want.Ingest.MaxRequestBytes = 20 << 20
	want.Engines.Loki = Loki{Retention: defaultRetention, URL: "https://loki.example.com", Headers: map[string]Secret{"Authorization": "Basic c2VjcmV0"}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var printed strings.Builder
	if err := c.Print(&printed); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(printed.String(), "c2VjcmV0") || !strings.Contains(printed.String(), "<secret>") {
		t.Errorf("printed:\n%s", printed.String())
	}
	if !strings.Contains(printed.String(), "max_request_bytes: 20MiB") {
		t.Errorf("printed:\n%s", printed.String())
	}
}

// What is printed is itself a configuration.
func TestPrintedDefaultsLoad(t *testing.T) {
	var b strings.Builder
	if err := Default().Print(&b); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, b.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var again strings.Builder
	if err := c.Print(&again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), again.String()); diff != "" {
		t.Error(diff)
	}
}

func TestEveryProblemIsReportedWithItsPlace(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"several": {
			"listen:\n  htpp: x\n  otlp_grpc: nowhere\nlog: {level: loud}\nqueue: {max_bytes: 1MiB}\ntenancy: {default_tenant: a|b}\n",
			`F:2:3: listen: unknown key "htpp" (did you mean "http"?)
F:3:14: listen.otlp_grpc: want host:port, not "nowhere"
F:4:14: log.level: unsupported "loud" (want debug, info, warn, error)
F:5:20: queue.max_bytes: must be at least queue.tenant_max_bytes
F:6:27: tenancy.default_tenant: tenant name "a|b" is not valid (want 1 to 64 of a-z, A-Z, 0-9, _ and -)`,
		},
		"a far-off key": {"zzzzzz: 1\n", `F:1:1: unknown key "zzzzzz" (want data_dir, listen, log, tenancy, engines, ingest, queue, index, grafana, audit)`},
		"twice":         {"log: {level: info, level: debug}\n", `F:1:20: log.level: stands twice`},
		"a list":        {"listen: [a]\n", `F:1:9: listen: want a mapping`},
		"a mapping":     {"data_dir: {a: b}\n", `F:1:11: data_dir: want a single value`},
		"a size":        {"queue: {max_bytes: many}\n", `F:1:20: queue.max_bytes: want a size such as 10MiB, not "many"`},
		"environment":   {"data_dir: ${INVOSCOPE_TEST_UNSET}/x\n", `F:1:11: data_dir: the environment variable INVOSCOPE_TEST_UNSET is not set`},
		"syntax":        {"listen:\n\thttp: x\n", `F:2:1: found character that cannot start any token`},
		"two engines":   {"engines: {loki: {binary: a, url: 'http://b'}}\n", `F:1:26: engines.loki.binary: set either binary or url`},
		"half a Tempo":  {"engines: {tempo: {url: 'http://b'}}\n", `F:1:24: engines.tempo.url: a remote Tempo needs both url and otlp`},
		"a retention": {"engines: {loki: {retention: 1h}, tempo: {retention: soon}}\n", `F:1:29: engines.loki.retention: must be at least a day
F:1:53: engines.tempo.retention: want a time span such as 14d or 36h, not "soon"`},
		"a tenant header": {"engines: {loki: {url: 'http://b', headers: {x-scope-orgid: a}}}\n", `F:1:44: engines.loki.headers: must not name a tenant: the token does`},
		"a password":      {"engines: {loki: {url: 'http://u:p@b'}}\n", `F:1:23: engines.loki.url: want http://host or https://host, without credentials (they go into headers) or a query`},
		"lost headers":    {"engines: {loki: {headers: {a: b}}}\n", `F:1:27: engines.loki.headers: are for a url`},
		"a bad URL":       {"engines: {loki: {url: 'b:1'}}\n", `F:1:23: engines.loki.url: want http://host or https://host, without credentials (they go into headers) or a query`},
		"two documents":   {"log: {}\n---\nlog: {}\n", `F:2:1: a second YAML document`},
		"a label's name":  {"tenancy: {key: a-b}\n", `F:1:16: tenancy.key: want a label name: letters, digits and underscores, not a digit first`},
		"a huge port":     {"listen: {http: 'x:70000'}\n", `F:1:16: listen.http: want host:port, not "x:70000"`},
		"a small request": {"ingest: {max_request_bytes: 1}\n", `F:1:29: ingest.max_request_bytes: must be between 64KiB and 32MiB`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.yaml, nil)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestProblemOfAFlagHasNoPlace(t *testing.T) {
	_, err := load(t, "listen: {http: '127.0.0.1:1'}\n", func(c *Config) { c.Listen.HTTP = "bad" })
	if err == nil || err.Error() != `listen.http: want host:port, not "bad"` {
		t.Errorf("%v", err)
	}
}

func TestEmptyFile(t *testing.T) {
	for _, yaml := range []string{"", "# nothing\n", "---\n"} {
		if c, err := load(t, yaml, nil); err != nil || c.DataDir != Default().DataDir {
			t.Errorf("%q: %v", yaml, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("listen: {http: ${X:-127.0.0.1:1}}\nlog: &a {level: info}\n")
	f.Add("engines: {loki: {headers: {a: b}}}")
	f.Fuzz(func(t *testing.T, yaml string) {
		_, err := load(t, yaml, nil)
		var b strings.Builder
		if err == nil {
			if err := Default().Print(&b); err != nil {
				t.Error(err)
			}
		}
	})
}
