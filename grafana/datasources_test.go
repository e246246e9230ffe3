package grafana

import (
	"bufio"
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func options() Options {
	return Options{URL: "http://127.0.0.1:3100", Tenant: "default", Token: "header.payload.signature"}
}

func TestDataSourcesGolden(t *testing.T) {
	withEnv := options()
	withEnv.Token, withEnv.TokenEnv = "", "INVOSCOPE_TOKEN"
	withEnv.URL, withEnv.Tenant = "https://obs.example.com/invoscope", "payments-production-eu-west-1"
	withCA := options()
	withCA.URL, withCA.CACert = "https://127.0.0.1:3100", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
	for name, o := range map[string]Options{"token.yaml": options(), "token-env.yaml": withEnv, "token-ca.yaml": withCA} {
		t.Run(name, func(t *testing.T) {
			got, err := DataSources(o)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("run with -update if this is right (-want +got):\n%s", diff)
			}
		})
	}
}

// What Grafana ends up with must be what the managed service published. The
// strings here are written out once more on purpose: see there, not in the
// code, what the promise is.
func TestPublishedStrings(t *testing.T) {
	// Variables that an expansion gone wrong would put in.
	env := map[string]string{
		"__value.raw": "WRONG", "__value": "WRONG", "__span": "WRONG",
		`__span.tags["restate.invocation.id"]`: "WRONG",
	}
	data, err := DataSources(options())
	if err != nil {
		t.Fatal(err)
	}
	sources := load(t, data, env)
	loki, tempo := sources[0], sources[1]
	field := at(t, loki, "jsonData", "derivedFields", 0)
	link := at(t, tempo, "jsonData", "tracesToLogsV2")
	tests := []struct {
		what      string
		got, want any
	}{
		{"derived field name", at(t, field, "name"), `restate.invocation.id`},
		{"derived field regex", at(t, field, "matcherRegex"), `"restate.invocation.id":"(.+?)"`},
		{"derived field type", at(t, field, "matcherType"), "regex"},
		{"derived field query", at(t, field, "url"), `{ .restate.invocation.id="${__value.raw}" }`},
		{"derived field link", at(t, field, "datasourceUid"), tempo["uid"]},
		{"trace to logs query", at(t, link, "query"), `{kubernetes_container_name="restate"} |= "${__span.tags["restate.invocation.id"]}"`},
		{"trace to logs link", at(t, link, "datasourceUid"), loki["uid"]},
		{"trace to logs custom", at(t, link, "customQuery"), true},
		{"trace to logs by trace id", at(t, link, "filterByTraceID"), false},
		{"trace to logs start", at(t, link, "spanStartTimeShift"), "-5m"},
		{"trace to logs end", at(t, link, "spanEndTimeShift"), "5m"},
		{"streaming", at(t, tempo, "jsonData", "streamingEnabled"), map[string]any{"search": true, "metrics": false}},
		{"Loki type", loki["type"], "loki"},
		{"Tempo type", tempo["type"], "tempo"},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.what, diff)
		}
	}
	for _, source := range sources {
		for key, want := range map[string]any{"url": "http://127.0.0.1:3100", "access": "proxy", "editable": false} {
			if source[key] != want {
				t.Errorf("%v: %s = %v, want %v", source["name"], key, source[key], want)
			}
		}
		if got := at(t, source, "jsonData", "httpHeaderName1"); got != "Authorization" {
			t.Errorf("%v: header name %v", source["name"], got)
		}
		if got := at(t, source, "secureJsonData", "httpHeaderValue1"); got != "Bearer header.payload.signature" {
			t.Errorf("%v: header value %v", source["name"], got)
		}
	}
}

// The derived field finds the ids in what Restate really logs.
func TestDerivedFieldOnRecordedLogs(t *testing.T) {
	data, err := DataSources(options())
	if err != nil {
		t.Fatal(err)
	}
	pattern, _ := at(t, load(t, data, nil)[0], "jsonData", "derivedFields", 0, "matcherRegex").(string)
	regex := regexp.MustCompile(pattern)
	id := regexp.MustCompile(`^inv_1[0-9A-Za-z]{33}$`)

	f, err := os.Open("../testdata/restate/restate-debug.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	matched := 0
	for lines.Scan() {
		if m := regex.FindSubmatch(lines.Bytes()); m != nil {
			matched++
			if !id.Match(m[1]) {
				t.Errorf("found %q, want an invocation id", m[1])
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if matched != 524 { // of 994; `grep -c` says the same
		t.Errorf("%d lines have an id, want 524", matched)
	}
}

// Values that look like variables, or like YAML, reach Grafana as they are.
func TestLiteralValues(t *testing.T) {
	env := map[string]string{"HOME": "WRONG", "b": "WRONG", "c": "WRONG", "TOKEN": "$b${c}$$d"}
	for _, token := range []string{"a$b$$c${HOME}", "$", "$$", "$$$", "$__env{HOME}", "$__file{/etc/passwd}", `"'#:{}[]&*!|>%@`, "null", "~", "1e3"} {
		o := options()
		o.Token, o.URL = token, "http://127.0.0.1:3100/$b/${HOME}"
		data, err := DataSources(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, source := range load(t, data, env) {
			if got := at(t, source, "secureJsonData", "httpHeaderValue1"); got != "Bearer "+token {
				t.Errorf("Grafana gets %q, want %q", got, "Bearer "+token)
			}
			if source["url"] != o.URL {
				t.Errorf("Grafana gets the URL %q, want %q", source["url"], o.URL)
			}
		}
	}
	// A token from the environment may hold dollar signs as well.
	data, err := DataSources(Options{URL: "http://h", Tenant: "t", TokenEnv: "TOKEN"})
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range load(t, data, env) {
		if got, want := at(t, source, "secureJsonData", "httpHeaderValue1"), "Bearer "+env["TOKEN"]; got != want {
			t.Errorf("Grafana gets %q, want %q", got, want)
		}
	}
}

func TestUIDs(t *testing.T) {
	valid := regexp.MustCompile(`^[a-zA-Z0-9_-]{1,40}$`) // Grafana's own rule
	long := strings.Repeat("a", 64)
	tenants := []string{"a", "default", "A", long[:22], long[:23], long[:24], long[:25], long[:63], long}
	// A tenant that is named like another one's shortened name.
	tenants = append(tenants, strings.TrimSuffix(strings.TrimPrefix(string(uid(long, "loki")), "invoscope-"), "-loki"))
	seen := map[literal]string{}
	for _, tenant := range tenants {
		for _, kind := range []string{"loki", "tempo"} {
			got := uid(tenant, kind)
			if !valid.MatchString(string(got)) {
				t.Errorf("uid %q of %d characters isn't valid in Grafana", got, len(got))
			}
			if got != uid(tenant, kind) {
				t.Errorf("the uid of %s changes", tenant)
			}
			if other, ok := seen[got]; ok {
				t.Errorf("%s and %s share the uid %s", other, tenant, got)
			}
			seen[got] = tenant
		}
	}
	if got := uid("default", "loki"); got != "invoscope-default-loki" {
		t.Errorf("uid = %s", got)
	}
}

func TestSecretWarning(t *testing.T) {
	secret, err := DataSources(options())
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Token, o.TokenEnv = "", "MY_TOKEN"
	open, err := DataSources(o)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(secret, []byte("SECRET")) {
		t.Error("a file with a token doesn't say that it is a secret")
	}
	if bytes.Contains(open, []byte("SECRET")) || !bytes.Contains(open, []byte("Bearer $MY_TOKEN")) {
		t.Errorf("a file without a token says:\n%s", open)
	}
}

func TestDataSourcesRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"no URL":           {func(o *Options) { o.URL = "" }, "URL"},
		"host alone":       {func(o *Options) { o.URL = "127.0.0.1:3100" }, "URL"},
		"another scheme":   {func(o *Options) { o.URL = "file:///etc/passwd" }, "URL"},
		"password in URL":  {func(o *Options) { o.URL = "http://u:p@h" }, "URL has a user"},
		"query in URL":     {func(o *Options) { o.URL = "http://h?x=1" }, "URL has a user"},
		"long URL":         {func(o *Options) { o.URL = "http://h/" + strings.Repeat("a", 255) }, "255"},
		"tenant":           {func(o *Options) { o.Tenant = "a|b" }, "tenant"},
		"tenant with line": {func(o *Options) { o.Tenant = "a\nb: c" }, "tenant"},
		"no token":         {func(o *Options) { o.Token = "" }, "token"},
		"two tokens":       {func(o *Options) { o.TokenEnv = "X" }, "token"},
		"token with line":  {func(o *Options) { o.Token = "a\r\nX-Scope-OrgID: b" }, "token"},
		"not a variable":   {func(o *Options) { o.Token, o.TokenEnv = "", "A}B" }, "environment"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := options()
			tt.change(&o)
			data, err := DataSources(o)
			if err == nil || data != nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("= %q, %v; want an error with %q", data, err, tt.want)
			}
			if strings.Contains(err.Error(), "payload") {
				t.Errorf("the error holds the token: %v", err)
			}
		})
	}
	_, err := DataSources(Options{})
	for _, want := range []string{"URL", "tenant", "token"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v doesn't name the %s", err, want)
		}
	}
}
