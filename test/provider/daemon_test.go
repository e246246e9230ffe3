//go:build integration

package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/test/harness"
)

// daemon is a daemon that accepts the tokens of a provider.
type daemon struct {
	*harness.Daemon
	t      *testing.T
	config string
}

// startDaemon runs one that looks for new keys by itself each refresh.
func startDaemon(t *testing.T, p *provider, refresh time.Duration) *daemon {
	t.Helper()
	d := &daemon{t: t, config: filepath.Join(t.TempDir(), "invoscope.yaml")}
	d.configure(fmt.Sprintf(`
tenancy:
  issuers:
    - issuer: %s
      audiences: [%s]
      keys: [{discovery: true, refresh: %s}]
      claims: {tenant: /invoscope/tenant, scope: scope, roles: roles}
      roles: {developer: [logs:read]}
`, p.Issuer, audience, refresh))
	d.Daemon = harness.Start(t, "--config", d.config)
	return d
}

// configure replaces the daemon's file, whole.
func (d *daemon) configure(content string) {
	d.t.Helper()
	if err := os.WriteFile(d.config+".new", []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(d.config+".new", d.config); err != nil {
		d.t.Fatal(err)
	}
}

// call returns what the daemon answers to a request with this token; a body makes it a POST.
func (d *daemon) call(token, path, body string) (status int, answer string) {
	d.t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(bytes.TrimSpace(text))
}

// query asks for the lines of the test; push stores one.
func (d *daemon) query(token string) (int, string) {
	return d.call(token, d.HTTP+"/loki/api/v1/query_range?"+url.Values{"query": {`{app="provider"}`}, "since": {"1h"}}.Encode(), "")
}

func (d *daemon) push(token, line string) (int, string) {
	return d.call(token, d.HTTP+"/loki/api/v1/push",
		fmt.Sprintf(`{"streams":[{"stream":{"app":"provider"},"values":[["%d",%q]]}]}`, time.Now().UnixNano(), line))
}

func (d *daemon) accepts(what, token string) {
	d.t.Helper()
	if status, body := d.query(token); status != http.StatusOK {
		d.t.Errorf("%s: status %d: %s", what, status, body)
	}
}

// becomes waits until a query with this token has the status.
func (d *daemon) becomes(want int, what, token string) {
	d.t.Helper()
	harness.Poll(d.t, limit, fmt.Sprintf("%s has status %d", what, want), func() error {
		if status, body := d.query(token); status != want {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
}

// Who has a token of the provider writes and reads as the tenant that it names, and
// with its scopes.
func TestDaemonTakesTokensOfAProvider(t *testing.T) {
	p := startProvider(t)
	d := startDaemon(t, p, time.Hour)
	writer, reader := p.token("logs:write"), p.token()
	if status, body := d.push(reader, "not stored"); status != http.StatusForbidden {
		t.Errorf("pushed without the scope: status %d: %s", status, body)
	}
	if status, body := d.push(writer, "hello from acme"); status != http.StatusNoContent {
		t.Fatalf("push: status %d: %s", status, body)
	}
	harness.Poll(t, limit, "the line is found", func() error {
		if status, body := d.query(reader); status != http.StatusOK || !strings.Contains(body, "hello from acme") || strings.Contains(body, "not stored") {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
	own, err := d.Client().Token()
	if err != nil {
		t.Fatal(err)
	}
	if status, body := d.query(own); status != http.StatusOK || strings.Contains(body, "hello") {
		t.Errorf("another tenant: status %d: %s", status, body)
	}
	signature := reader[strings.LastIndex(reader, ".")+1:]
	forged := strings.TrimSuffix(writer, writer[strings.LastIndex(writer, ".")+1:]) + signature
	if status, _ := d.query(forged); status != http.StatusUnauthorized {
		t.Errorf("with another token's signature: status %d", status)
	}
}

func TestDaemonThroughRotationAndOutage(t *testing.T) {
	p := startProvider(t)
	d := startDaemon(t, p, time.Hour)
	before, unseen := p.token(), p.token()
	d.accepts("a token", before)

	p.rotate("ES256")
	d.accepts("the first token of a new key", p.token())
	d.accepts("a token of the key before", before)

	p.stop()
	d.accepts("a token that was seen before the outage", before)
	d.accepts("a token that is seen first during the outage", unseen)
	p.again()
	d.accepts("a token of after the outage", p.token())
}

func TestDaemonDropsWhatTheProviderDrops(t *testing.T) {
	p := startProvider(t)
	d := startDaemon(t, p, 10*time.Second) // the least
	before := p.token()
	d.accepts("a token", before)
	p.rotate("EdDSA")
	p.retire()
	after := p.token()
	d.becomes(http.StatusUnauthorized, "a token of the key that is gone", before)
	d.becomes(http.StatusOK, "a token of the key that is there", after)

	series := fmt.Sprintf("invoscope_keyset_keys{issuer=%q,source=%q} 1", p.Issuer, p.Issuer)
	if _, metrics := d.call("", d.Admin+"/metrics", ""); !strings.Contains(metrics, series) {
		t.Errorf("the metrics don't have %s", series)
	}
}

// Who is taken out of the file is out, without a restart.
func TestDaemonForgetsAProvider(t *testing.T) {
	p := startProvider(t)
	d := startDaemon(t, p, time.Hour)
	token := p.token()
	d.accepts("a token", token)
	d.configure("{}\n")
	d.becomes(http.StatusUnauthorized, "the token", token)
	harness.Poll(t, limit, "the provider's series are gone", func() error {
		if _, metrics := d.call("", d.Admin+"/metrics", ""); strings.Contains(metrics, "invoscope_keyset_") {
			return errors.New("they are there")
		}
		return nil
	})
}

// A daemon starts while the provider is down, and lets its users in once it is there.
func TestDaemonStartsBeforeTheProvider(t *testing.T) {
	p := startProvider(t)
	token := p.token()
	p.stop()
	d := startDaemon(t, p, time.Hour)
	if status, _ := d.query(token); status != http.StatusUnauthorized {
		t.Errorf("without keys: status %d", status)
	}
	p.again()
	d.becomes(http.StatusOK, "a token", token)
}
