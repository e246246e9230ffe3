package app

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// provider serves a key set, unless it is down.
type provider struct {
	*httptest.Server
	down  atomic.Bool
	asked atomic.Int64
}

func newProvider(t *testing.T, s signer) *provider {
	t.Helper()
	p := &provider{}
	x := base64.RawURLEncoding.EncodeToString(s.key.Public().(ed25519.PublicKey))
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		if p.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"k","x":%q}]}`, x)
	}))
	t.Cleanup(p.Close)
	return p
}

// TestKeysOfAProviderOutliveReloads sees a provider go down, and what becomes of its
// keys when the configuration changes around them and of them.
func TestKeysOfAProviderOutliveReloads(t *testing.T) {
	idp := newSigner(t)
	p := newProvider(t, idp)
	of := func(more string) string {
		return "tenancy:\n  issuers: [{issuer: idp, audiences: [invoscope], keys: [{jwks_url: '" + p.URL + "'" + more + "}]}]\n"
	}
	d := startFile(t, of(""), nil)
	theirs := idp.token(t, "idp", "acme")
	d.awaitAnswer(theirs, http.StatusOK)
	d.awaitHealth("[+]keys idp jwks_url " + p.URL + " ok: 1 keys, fetched ")

	p.down.Store(true)
	asked := p.asked.Load()
	d.reload("test")
	if now := p.asked.Load(); now != asked {
		t.Errorf("a reload that changes nothing asked the provider %d times", now-asked)
	}
	d.configure(of(", refresh: 10m")) // another set, with the keys of the one before
	d.awaitHealth("[-]keys idp jwks_url " + p.URL + " failed: 1 keys, fetched ")
	d.awaitAnswer(theirs, http.StatusOK)

	d.configure("")
	d.awaitAnswer(theirs, http.StatusUnauthorized)
	if _, body := get(t, d.Admin+"/readyz?verbose", ""); strings.Contains(body, "keys idp") {
		t.Errorf("a set that was taken out is still there:\n%s", body)
	}
	if _, body := get(t, d.Admin+"/metrics", ""); strings.Contains(body, "invoscope_keyset_keys{") {
		t.Error("a set that was taken out still has metrics")
	}
	d.configure(of(""))
	d.awaitHealth("[-]keys idp jwks_url " + p.URL + " failed: 0 keys, never fetched")
	if code, body := get(t, d.Admin+"/readyz", ""); code != http.StatusOK {
		t.Errorf("a provider that is down makes the daemon unready: %d %s", code, body)
	}
	p.down.Store(false)
	d.awaitAnswer(theirs, http.StatusOK)
}
