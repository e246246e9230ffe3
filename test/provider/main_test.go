//go:build integration

package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/test/harness"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections()
		os.Exit(code)
	}))
}

// limit is how long anything here may take on a loaded machine.
const limit = 30 * time.Second

// The provider's tokens are for this audience and have these claims.
const (
	audience = "invoscope"
	claims   = `{"invoscope": {"tenant": "acme"}, "roles": ["developer", "visitor"]}`
)

// provider is a running OpenID provider.
type provider struct {
	Issuer  string `json:"issuer"`  // where it is served
	Control string `json:"control"` // where it is told to rotate its keys

	t    testing.TB
	dir  string
	proc *harness.Process
}

func startProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{t: t, dir: t.TempDir()}
	p.start("127.0.0.1:0")
	return p
}

func (p *provider) start(address string) {
	p.t.Helper()
	file := filepath.Join(p.dir, "provider.json")
	if err := os.RemoveAll(file); err != nil {
		p.t.Fatal(err)
	}
	p.proc = harness.Spawn(p.t, exec.Command(harness.Binary(p.t, "oidc-provider"),
		"-dir", p.dir, "-listen", address, "-audience", audience, "-claims", claims))
	harness.Poll(p.t, limit, "the provider starts", func() error {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, p)
	})
}

// stop ends the provider.
func (p *provider) stop() {
	p.t.Helper()
	if err := p.proc.Terminate(limit); err != nil {
		p.t.Fatal(err)
	}
}

// again starts the provider where it was, with the keys it had.
func (p *provider) again() {
	p.t.Helper()
	was := p.Issuer
	p.start(strings.TrimPrefix(was, "http://"))
	if p.Issuer != was {
		p.t.Fatalf("the provider is at %s now, was at %s", p.Issuer, was)
	}
}

// rotate has the provider sign with a new key from now on.
func (p *provider) rotate(algorithm string) {
	p.t.Helper()
	p.post(p.Control+"/rotate", url.Values{"alg": {algorithm}})
}

// retire has the provider publish no key but the one that signs.
func (p *provider) retire() {
	p.t.Helper()
	p.post(p.Control+"/retire", nil)
}

// token asks for a token with these scopes: the client credentials grant (RFC 6749,
// section 4.4).
func (p *provider) token(scopes ...string) string {
	p.t.Helper()
	var document struct {
		TokenEndpoint string `json:"token_endpoint"`
	}
	p.read(p.do(http.MethodGet, p.Issuer+"/.well-known/openid-configuration", nil), &document)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	p.read(p.post(document.TokenEndpoint, url.Values{
		"grant_type": {"client_credentials"}, "scope": {strings.Join(scopes, " ")},
		"client_id": {"sid1"}, "client_secret": {"verysecret"},
	}), &answer)
	if answer.AccessToken == "" {
		p.t.Fatal("the provider gave no token")
	}
	return answer.AccessToken
}

func (p *provider) post(address string, form url.Values) []byte {
	p.t.Helper()
	return p.do(http.MethodPost, address, form)
}

func (p *provider) do(method, address string, form url.Values) []byte {
	p.t.Helper()
	status, body, err := request(method, address, form)
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("%s %s: status %d (%v): %s", method, address, status, err, body)
	}
	return body
}

func request(method, address string, form url.Values) (status int, body []byte, err error) {
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func (p *provider) read(body []byte, v any) {
	p.t.Helper()
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(v); err != nil {
		p.t.Fatal(fmt.Errorf("read the provider's answer: %w", err))
	}
}
