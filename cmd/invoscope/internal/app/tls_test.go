package app

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/invoscope/invoscope/test/harness"
)

// clientOf is one that trusts the authority and shows a certificate, if there is one.
func clientOf(t testing.TB, a *harness.Authority, cert, key string) *http.Client {
	t.Helper()
	c := &tls.Config{RootCAs: a.Pool(), ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	if cert != "" {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// ask returns the status, the body and the serial number of the server's certificate.
func ask(t testing.TB, c *http.Client, url, token string) (status int, body, serial string, err error) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", "", err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.TLS != nil {
		serial = resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	return resp.StatusCode, resp.Proto + " " + string(content), serial, nil
}

const withTLS = "listen: {tls: {cert_file: DIR/tls.crt, key_file: DIR/tls.key}}\n"

func TestCertificateIsReplacedForNewConnections(t *testing.T) {
	ca := harness.NewAuthority(t)
	d := startFile(t, withTLS, func(dir string) {
		cert, key := ca.Issue(t, "one", "127.0.0.1")
		put(t, filepath.Join(dir, "tls.crt"), cert)
		put(t, filepath.Join(dir, "tls.key"), key)
	})
	token := d.token("acme")
	open := clientOf(t, ca, "", "")
	_, body, first, err := ask(t, open, d.HTTP+"/loki/api/v1/labels", token)
	if err != nil || body != "HTTP/2.0 tenant acme" {
		t.Fatalf("%q, %v", body, err)
	}
	cert, key := ca.Issue(t, "two", "127.0.0.1")
	d.put("tls.crt", cert)
	d.put("tls.key", key)
	eventually(t, func() string {
		client := clientOf(t, ca, "", "")
		defer client.CloseIdleConnections()
		if _, _, serial, err := ask(t, client, d.HTTP+"/loki/api/v1/labels", token); err != nil || serial == first {
			return fmt.Sprintf("still the certificate %s, %v", serial, err)
		}
		return ""
	})
	if _, body, serial, err := ask(t, open, d.HTTP+"/loki/api/v1/labels", token); err != nil || serial != first || body != "HTTP/2.0 tenant acme" {
		t.Errorf("over the connection that was open: %s %q, %v", serial, body, err)
	}
	if _, _, _, err := ask(t, clientOf(t, ca, "", ""), d.Admin+"/livez", ""); err != nil {
		t.Errorf("the admin port: %v", err)
	}
	if _, err := tls.Dial("tcp", d.HTTP[len("https://"):], &tls.Config{RootCAs: ca.Pool(), MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestClientCertificates(t *testing.T) {
	ca, others := harness.NewAuthority(t), harness.NewAuthority(t)
	const yaml = `listen: {tls: {cert_file: DIR/tls.crt, key_file: DIR/tls.key, client_ca_file: DIR/ca.crt%s}}
tenancy: {certificates: [{subject: "CN=shipper,O=Acme", tenant: acme, scopes: ["logs:read"]}]}
`
	d := startFile(t, fmt.Sprintf(yaml, ""), func(dir string) {
		cert, key := ca.Issue(t, "server", "127.0.0.1")
		put(t, filepath.Join(dir, "tls.crt"), cert)
		put(t, filepath.Join(dir, "tls.key"), key)
		put(t, filepath.Join(dir, "ca.crt"), ca.PEM)
	})
	url, token := d.HTTP+"/loki/api/v1/labels", d.token("acme")
	cert, key := ca.Issue(t, "shipper")
	known := clientOf(t, ca, cert, key)
	if status, body, _, err := ask(t, known, url, ""); err != nil || status != http.StatusOK || body != "HTTP/2.0 tenant acme" {
		t.Errorf("by certificate: %d %q, %v", status, body, err)
	}
	// A session that is resumed would bring its certificate from when it began.
	known.CloseIdleConnections()
	if resp, err := known.Get(url); err != nil || resp.TLS.DidResume || resp.Body.Close() != nil {
		t.Errorf("the session was resumed, or %v", err)
	}
	cert, key = ca.Issue(t, "stranger")
	if status, _, _, err := ask(t, clientOf(t, ca, cert, key), url, ""); err != nil || status != http.StatusUnauthorized {
		t.Errorf("another subject: %d, %v", status, err)
	}
	cert, key = others.Issue(t, "shipper")
	if status, _, _, err := ask(t, clientOf(t, ca, cert, key), url, ""); err == nil {
		t.Errorf("a certificate of another authority: %d", status)
	}
	if status, _, _, err := ask(t, clientOf(t, ca, "", ""), url, token); err != nil || status != http.StatusOK {
		t.Errorf("a token alone: %d, %v", status, err)
	}
	// Required: a connection without is refused.
	d.configure(fmt.Sprintf(yaml, ", require_client_certificate: true"))
	eventually(t, func() string {
		client := clientOf(t, ca, "", "")
		defer client.CloseIdleConnections()
		if status, _, _, err := ask(t, client, url, token); err == nil {
			return fmt.Sprintf("without a certificate: %d", status)
		}
		return ""
	})
	// Another authority: those of the first one are strangers, with whatever session they had.
	d.put("ca.crt", others.PEM)
	eventually(t, func() string {
		known.CloseIdleConnections()
		if status, _, _, err := ask(t, known, url, ""); err == nil {
			return fmt.Sprintf("a certificate of the former authority: %d", status)
		}
		return ""
	})
}

// trustCA makes the helpers' plain clients trust an authority, until the test ends.
func trustCA(t *testing.T, a *harness.Authority) {
	t.Helper()
	before := testRoots
	testRoots = a.Pool()
	t.Cleanup(func() { testRoots = before })
}
