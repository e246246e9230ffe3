package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigCheckReadsFiles has the files checked that a configuration names, and
// nothing made.
func TestConfigCheckReadsFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"invoscope.yaml": `data_dir: DIR/data
listen: {tls: {cert_file: DIR/tls.crt, key_file: DIR/none.key}}
tenancy:
  tenants_file: DIR/tenants.yaml
  issuers:
  - {issuer: idp, audiences: [a], keys: [{file: DIR/idp.pem}]}
  - {issuer: far, audiences: [a], keys: [{jwks_url: "http://127.0.0.1:1/never-asked"}]}
`,
		"tls.crt":      "no certificate",
		"tenants.yaml": "tenants: {acme: {queries: 1}}\n",
		"idp.pem":      "no key",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"config", "check", "--config", filepath.Join(dir, "invoscope.yaml")}, strings.NewReader(""), &stdout, &stderr); code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"tenancy.issuers[0].keys[0]: ", "idp.pem: no PEM block",
		"tenants.yaml:1:18: tenants.acme: unknown key \"queries\"",
		"listen.tls.cert_file: open " + dir + "/none.key",
	} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is not in:\n%s", want, stderr.String())
		}
	}
	if strings.Contains(stderr.String(), "never-asked") || stdout.Len() > 0 {
		t.Errorf("it says %q, %q", stdout.String(), stderr.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data directory was made: %v", err)
	}
}
