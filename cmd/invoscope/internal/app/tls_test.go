package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.pem = a.sign(t, template, template, &a.key.PublicKey)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(t testing.TB, template, parent *x509.Certificate, key *ecdsa.PublicKey) (*x509.Certificate, string) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// issue returns a certificate and its key, of a name and for hosts, in PEM.
func (a *authority) issue(t testing.TB, name string, hosts ...string) (cert, key string) {
	t.Helper()
	private := newKey(t)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"Acme"}}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	_, cert = a.sign(t, template, a.cert, &private.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// client is one that trusts the authority and shows a certificate, if there is one.
func (a *authority) client(t testing.TB, cert, key string) *http.Client {
	t.Helper()
	c := &tls.Config{RootCAs: a.pool(), ClientSessionCache: tls.NewLRUClientSessionCache(8)}
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
	ca := newAuthority(t)
	d := startFile(t, withTLS, func(dir string) {
		cert, key := ca.issue(t, "one", "127.0.0.1")
		put(t, filepath.Join(dir, "tls.crt"), cert)
		put(t, filepath.Join(dir, "tls.key"), key)
	})
	token := d.token("acme")
	open := ca.client(t, "", "")
	_, body, first, err := ask(t, open, d.HTTP+"/loki/api/v1/labels", token)
	if err != nil || body != "HTTP/2.0 tenant acme" {
		t.Fatalf("%q, %v", body, err)
	}
	cert, key := ca.issue(t, "two", "127.0.0.1")
	d.put("tls.crt", cert)
	d.put("tls.key", key)
	eventually(t, func() string {
		client := ca.client(t, "", "")
		defer client.CloseIdleConnections()
		if _, _, serial, err := ask(t, client, d.HTTP+"/loki/api/v1/labels", token); err != nil || serial == first {
			return fmt.Sprintf("still the certificate %s, %v", serial, err)
		}
		return ""
	})
	if _, body, serial, err := ask(t, open, d.HTTP+"/loki/api/v1/labels", token); err != nil || serial != first || body != "HTTP/2.0 tenant acme" {
		t.Errorf("over the connection that was open: %s %q, %v", serial, body, err)
	}
	if _, _, _, err := ask(t, ca.client(t, "", ""), d.Admin+"/livez", ""); err != nil {
		t.Errorf("the admin port: %v", err)
	}
	if _, err := tls.Dial("tcp", d.HTTP[len("https://"):], &tls.Config{RootCAs: ca.pool(), MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestClientCertificates(t *testing.T) {
	ca, others := newAuthority(t), newAuthority(t)
	const yaml = `listen: {tls: {cert_file: DIR/tls.crt, key_file: DIR/tls.key, client_ca_file: DIR/ca.crt%s}}
tenancy: {certificates: [{subject: "CN=shipper,O=Acme", tenant: acme, scopes: ["logs:read"]}]}
`
	d := startFile(t, fmt.Sprintf(yaml, ""), func(dir string) {
		cert, key := ca.issue(t, "server", "127.0.0.1")
		put(t, filepath.Join(dir, "tls.crt"), cert)
		put(t, filepath.Join(dir, "tls.key"), key)
		put(t, filepath.Join(dir, "ca.crt"), ca.pem)
	})
	url, token := d.HTTP+"/loki/api/v1/labels", d.token("acme")
	cert, key := ca.issue(t, "shipper")
	known := ca.client(t, cert, key)
	if status, body, _, err := ask(t, known, url, ""); err != nil || status != http.StatusOK || body != "HTTP/2.0 tenant acme" {
		t.Errorf("by certificate: %d %q, %v", status, body, err)
	}
	cert, key = ca.issue(t, "stranger")
	if status, _, _, err := ask(t, ca.client(t, cert, key), url, ""); err != nil || status != http.StatusUnauthorized {
		t.Errorf("another subject: %d, %v", status, err)
	}
	cert, key = others.issue(t, "shipper")
	if status, _, _, err := ask(t, ca.client(t, cert, key), url, ""); err == nil {
		t.Errorf("a certificate of another authority: %d", status)
	}
	if status, _, _, err := ask(t, ca.client(t, "", ""), url, token); err != nil || status != http.StatusOK {
		t.Errorf("a token alone: %d, %v", status, err)
	}
	// Required: a connection without is refused.
	d.configure(fmt.Sprintf(yaml, ", require_client_certificate: true"))
	eventually(t, func() string {
		client := ca.client(t, "", "")
		defer client.CloseIdleConnections()
		if status, _, _, err := ask(t, client, url, token); err == nil {
			return fmt.Sprintf("without a certificate: %d", status)
		}
		return ""
	})
	// Another authority: those of the first one are strangers, with whatever session they had.
	d.put("ca.crt", others.pem)
	eventually(t, func() string {
		known.CloseIdleConnections()
		if status, _, _, err := ask(t, known, url, ""); err == nil {
			return fmt.Sprintf("a certificate of the former authority: %d", status)
		}
		return ""
	})
}

// trustCA makes the helpers' plain clients trust an authority, until the test ends.
func trustCA(t *testing.T, a *authority) {
	t.Helper()
	before := testRoots
	testRoots = a.pool()
	t.Cleanup(func() { testRoots = before })
}
