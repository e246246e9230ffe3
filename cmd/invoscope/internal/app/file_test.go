package app

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
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
