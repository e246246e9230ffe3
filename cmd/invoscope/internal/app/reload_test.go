package app

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
	"github.com/invoscope/invoscope/test/harness"
)

const whole = `listen: {tls: {cert_file: DIR/tls.crt, key_file: DIR/tls.key, client_ca_file: DIR/ca.crt}}
tenancy:
  tenants_file: DIR/tenants.yaml
  issuers: [{issuer: idp, audiences: [invoscope], keys: [{file: DIR/idp.pem}]}]
`

func TestReloadKeepsTheOldWhenAFileIsBad(t *testing.T) {
	idp, ca := newSigner(t), harness.NewAuthority(t)
	cert, key := ca.Issue(t, "localhost", "127.0.0.1")
	good := map[string]string{
		"tls.crt": cert, "tls.key": key, "ca.crt": ca.PEM, "idp.pem": idp.pem(t),
		"tenants.yaml": "tenants: {acme: {queries_per_second: 100}}\n",
	}
	d := startFile(t, whole, func(dir string) {
		for name, text := range good {
			put(t, filepath.Join(dir, name), text)
		}
	})
	trustCA(t, ca)
	token, theirs := d.token("acme"), idp.token(t, "idp", "acme")
	signing, err := os.ReadFile(filepath.Join(d.dir, "keys", "signing.pem"))
	if err != nil {
		t.Fatal(err)
	}
	good["keys/signing.pem"] = string(signing)
	good["invoscope.yaml"] = strings.ReplaceAll(whole, "DIR", d.dir)
	_, otherKey := ca.Issue(t, "localhost")
	for _, c := range []struct{ name, text, says string }{
		{"invoscope.yaml", "tenancy: {default_tenat: x}\n", `invoscope.yaml:1:11: tenancy: unknown key "default_tenat"`},
		{"invoscope.yaml", "\t", "invoscope.yaml:1:1"},
		{"tenants.yaml", "tenants: {acme: {queries: 1}}\n", `tenants.yaml:1:18: tenants.acme: unknown key "queries"`},
		{"tls.crt", "none", "listen.tls.cert_file: "},
		{"tls.key", otherKey, "listen.tls.cert_file: tls: private key does not match public key"},
		{"ca.crt", "none", "listen.tls.client_ca_file: "},
		{"idp.pem", "none", "tenancy.issuers[0].keys[0]: "},
		{"revocations.json", "none", "revocations.json"},
		{"keys/signing.pem", "none", "signing.pem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.t = t
			d.put(c.name, c.text)
			d.awaitHealth("[-]reload failed: in force since ")
			if code, body := get(t, d.Admin+"/readyz", ""); code != http.StatusOK {
				t.Errorf("/readyz: %d %s", code, body)
			}
			if _, body := get(t, d.Admin+"/readyz?verbose", ""); !strings.Contains(body, c.says) || !strings.HasSuffix(body, "\nready\n") {
				t.Errorf("%q is not in:\n%s", c.says, body)
			}
			if _, body := get(t, d.Admin+"/metrics", ""); !strings.Contains(body, "\ninvoscope_config_last_reload_successful 0\n") {
				t.Error("the metric says that all is well")
			}
			for _, token := range []string{token, theirs} {
				if code, body := get(t, d.HTTP+"/loki/api/v1/labels", token); code != http.StatusOK || body != "tenant acme" {
					t.Errorf("%d %s", code, body)
				}
			}
			if text, ok := good[c.name]; ok {
				d.put(c.name, text)
			} else if err := os.Remove(filepath.Join(d.dir, c.name)); err != nil {
				t.Fatal(err)
			}
			d.awaitHealth("[+]reload ok: in force since ")
			if _, body := get(t, d.Admin+"/metrics", ""); !strings.Contains(body, "\ninvoscope_config_last_reload_successful 1\n") {
				t.Error("the metric says that something is wrong")
			}
		})
	}
	d.t = t
	if log := d.log.String(); !strings.Contains(log, "the reload failed; what was in force stays") || strings.Contains(log, strings.Split(otherKey, "\n")[1]) {
		t.Error("the log says: ", log)
	}
}

// A mistake of an operator's must not keep a stolen token good.
func TestRevocationDoesNotWaitForAGoodFile(t *testing.T) {
	d := startFile(t, "tenancy: {tenants_file: DIR/tenants.yaml}\n", func(dir string) { put(t, filepath.Join(dir, "tenants.yaml"), "") })
	stolen, other := d.token("acme"), d.token("globex")
	d.awaitAnswer(stolen, http.StatusOK)
	d.put("tenants.yaml", "tenants: [")
	d.awaitHealth("[-]reload failed")
	if _, err := store.Open(d.dir, time.Now).Revoke(tenancy.Revocation{Subject: "s-acme"}, "test", time.Time{}); err != nil {
		t.Fatal(err)
	}
	d.awaitAnswer(stolen, http.StatusUnauthorized)
	d.awaitAnswer(other, http.StatusOK)
	d.awaitHealth("[-]reload failed")
}

func TestReloadTakesChangesOver(t *testing.T) {
	idp := newSigner(t)
	d := startFile(t, "tenancy: {host_suffix: .example.com}\n", func(dir string) {
		put(t, filepath.Join(dir, "idp.pem"), idp.pem(t))
	})
	theirs := idp.token(t, "idp", "acme")
	d.awaitAnswer(theirs, http.StatusUnauthorized)
	d.configure("tenancy:\n  issuers: [{issuer: idp, audiences: [invoscope], keys: [{file: DIR/idp.pem}]}]\n")
	d.awaitAnswer(theirs, http.StatusOK)

	// Another key in the same file, and back; then the file is gone and comes back.
	other := newSigner(t)
	d.put("idp.pem", other.pem(t))
	d.awaitAnswer(theirs, http.StatusUnauthorized)
	d.put("idp.pem", idp.pem(t))
	d.awaitAnswer(theirs, http.StatusOK)
	if err := os.Remove(filepath.Join(d.dir, "idp.pem")); err != nil {
		t.Fatal(err)
	}
	d.awaitHealth("[-]reload failed")
	d.awaitAnswer(theirs, http.StatusOK)
	d.put("idp.pem", idp.pem(t))
	d.awaitHealth("[+]reload ok")

	d.configure("tenancy: {default_tenant: other}\nlog: {level: debug}\n")
	d.awaitAnswer(theirs, http.StatusUnauthorized)
	d.awaitHealth("[+]reload ok: in force since")
	if _, body := get(t, d.Admin+"/readyz?verbose", ""); !strings.Contains(body, "; waiting for a restart: log.level, tenancy.default_tenant\n") {
		t.Error(body)
	}
	if log := d.log.String(); !strings.Contains(log, `msg="some settings wait for a restart of the daemon" settings="log.level, tenancy.default_tenant"`) {
		t.Error(log)
	}
}

func TestRevocationAndRotationNeedNoRestart(t *testing.T) {
	d := startFile(t, "", nil)
	own, err := tenancy.ReadTokenFile(d.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	acme, globex := d.token("acme"), d.token("globex")
	d.awaitAnswer(acme, http.StatusOK)
	s := store.Open(d.dir, time.Now)
	if _, err := s.Revoke(tenancy.Revocation{Subject: "s-acme"}, "test", time.Time{}); err != nil {
		t.Fatal(err)
	}
	d.awaitAnswer(acme, http.StatusUnauthorized)
	d.awaitAnswer(globex, http.StatusOK)

	if _, _, err := s.RotateKey(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	d.awaitAnswer(d.token("globex"), http.StatusOK)
	d.awaitAnswer(globex, http.StatusOK) // signed by the one before
	eventually(t, func() string {
		if now, err := tenancy.ReadTokenFile(d.TokenFile); err != nil || now == own {
			return fmt.Sprintf("the daemon's own token was not renewed: %v", err)
		}
		return ""
	})
	now, err := tenancy.ReadTokenFile(d.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	d.awaitAnswer(now, http.StatusOK)
	d.awaitAnswer(own, http.StatusOK)

	// Nobody may have such a token: the daemon runs without one, also at its next start.
	if _, err := s.Revoke(tenancy.Revocation{Subject: "invoscope"}, "test", time.Time{}); err != nil {
		t.Fatal(err)
	}
	d.awaitAnswer(now, http.StatusUnauthorized)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	engines, _ := remote(t)
	_, stop := startDaemon(t, testConfig(t, d.dir, engines))
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestReloadOfAKubernetesMount swaps ..data, as the kubelet does.
func TestReloadOfAKubernetesMount(t *testing.T) {
	idp := newSigner(t)
	version := func(dir, name, yaml string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name, "invoscope.yaml"), strings.ReplaceAll(yaml, "DIR", dir))
		put(t, filepath.Join(dir, name, "idp.pem"), idp.pem(t))
	}
	link := func(to, name string) {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	var mount string
	d := startFile(t, "", func(dir string) {
		mount = dir
		version(dir, "..1", "")
		link("..1", dir+"/..data")
		link("..data/invoscope.yaml", dir+"/invoscope.yaml")
		link("..data/idp.pem", dir+"/idp.pem")
	})
	theirs := idp.token(t, "idp", "acme")
	d.awaitAnswer(theirs, http.StatusUnauthorized)
	version(mount, "..2", "tenancy:\n  issuers: [{issuer: idp, audiences: [invoscope], keys: [{file: DIR/idp.pem}]}]\n")
	link("..2", mount+"/..tmp")
	if err := os.Rename(mount+"/..tmp", mount+"/..data"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(mount + "/..1"); err != nil {
		t.Fatal(err)
	}
	d.awaitAnswer(theirs, http.StatusOK)
}
