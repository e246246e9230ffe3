package app

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/filewatch"
	"github.com/invoscope/invoscope/cmd/invoscope/internal/runinfo"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
	"github.com/invoscope/invoscope/test/harness"
)

// daemon is one that runs by a configuration file.
type daemon struct {
	*App
	runinfo.Info
	t    testing.TB
	dir  string // of the data, and of the files that the configuration names
	file string // the configuration
	log  *logBuffer
	stop func() error
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// startFile runs a daemon by a configuration in which DIR stands for its directory,
// which prepare fills.
func startFile(t testing.TB, yaml string, prepare func(dir string)) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: t.TempDir(), log: new(logBuffer)}
	d.file = filepath.Join(d.dir, "invoscope.yaml")
	if prepare != nil {
		prepare(d.dir)
	}
	if _, err := os.Lstat(d.file); err != nil {
		d.configure(yaml)
	}
	engines, _ := remote(t)
	load := func() (config.Config, error) {
		return config.Load(d.file, func(c *config.Config) {
			c.DataDir = d.dir
			c.Listen.HTTP, c.Listen.OTLPGRPC, c.Listen.OTLPHTTP, c.Listen.Admin = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
			c.Engines.Loki.URL, c.Engines.Tempo.URL, c.Engines.Tempo.OTLP = engines, engines, engines
		})
	}
	files := filewatch.Look(d.file)
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if d.App, err = New(c, slog.New(slog.NewTextHandler(d.log, nil)), time.Now); err != nil {
		t.Fatal(err)
	}
	d.Reread(files, load)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan runinfo.Info, 1), make(chan error, 1)
	go func() { ended <- d.Run(ctx, func(i runinfo.Info) { ready <- i }) }()
	d.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Log(d.log)
		}
	})
	select {
	case d.Info = <-ready:
	case err := <-ended:
		t.Fatalf("ended before it was ready: %v", err)
	}
	return d
}

// put writes a file as a careful editor does.
func (d *daemon) put(name, text string) {
	d.t.Helper()
	put(d.t, filepath.Join(d.dir, name), text)
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func (d *daemon) configure(yaml string) {
	d.put("invoscope.yaml", strings.ReplaceAll(yaml, "DIR", d.dir))
}

// token issues one of a tenant, as the command does.
func (d *daemon) token(tenant string) string {
	d.t.Helper()
	token, _, err := store.Open(d.dir, time.Now).Issue(tenancy.Grant{
		Tenant: tenant, Subject: "s-" + tenant, Scopes: tenancy.Scopes(), Life: time.Hour,
	}, store.JWT)
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

// eventually waits until ok returns "", and fails with what it returned last.
func eventually(t testing.TB, ok func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ; <-tick.C {
		said := ok()
		if said == "" {
			return
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal(said)
		}
	}
}

// awaitHealth waits until /readyz?verbose has a line that begins so.
func (d *daemon) awaitHealth(begins string) {
	d.t.Helper()
	eventually(d.t, func() string {
		_, body := get(d.t, d.Admin+"/readyz?verbose", "")
		if strings.Contains("\n"+body, "\n"+begins) {
			return ""
		}
		return fmt.Sprintf("no line %q in:\n%s", begins, body)
	})
}

func (d *daemon) awaitAnswer(token string, want int) {
	d.t.Helper()
	eventually(d.t, func() string {
		if code, body := get(d.t, d.HTTP+"/loki/api/v1/labels", token); code != want {
			return fmt.Sprintf("%d %s, want %d", code, body, want)
		}
		return ""
	})
}

// signer signs tokens of somebody else.
type signer struct{ key ed25519.PrivateKey }

func newSigner(t *testing.T) signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

func (s signer) pem(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (s signer) token(t *testing.T, issuer, tenant string) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": issuer, "aud": "invoscope", "sub": "somebody", "tenant": tenant, "scope": "logs:read",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	token.Header["kid"] = "k"
	text, err := token.SignedString(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

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
