package trust

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/test/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve runs a server with a certificate; it answers with the name of its client's.
func serve(t *testing.T, cert, key string, clients *x509.CertPool) string {
	t.Helper()
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.String())
		}
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.VerifyClientCertIfGiven}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func get(t *testing.T, o Options, url string) (string, error) {
	t.Helper()
	transport, err := Transport(o)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestWhomIsTrusted(t *testing.T) {
	ca, others := harness.NewAuthority(t), harness.NewAuthority(t)
	cert, key := ca.Issue(t, "server", "127.0.0.1")
	named, namedKey := ca.Issue(t, "server", "logs.example.com")
	clientCert, clientKey := ca.Issue(t, "shipper")
	url, elsewhere := serve(t, cert, key, ca.Pool()), serve(t, named, namedKey, ca.Pool())
	caFile := write(t, ca.PEM)
	for name, c := range map[string]struct {
		options Options
		url     string
		body    string
		err     string // empty: none
	}{
		"nobody that the system knows": {Options{}, url, "", "unknown authority"},
		"the authority":                {Options{CAFile: caFile}, url, "", ""},
		"another authority":            {Options{CAFile: write(t, others.PEM)}, url, "", "unknown authority"},
		"another name":                 {Options{CAFile: caFile}, elsewhere, "", "127.0.0.1"},
		"the very certificate":         {Options{ServerCertFile: write(t, named)}, elsewhere, "", ""},
		"one with its chain":           {Options{ServerCertFile: write(t, named+ca.PEM)}, elsewhere, "", ""},
		"another certificate":          {Options{ServerCertFile: write(t, named)}, url, "", "is not the one in"},
		"with a client's": {
			Options{CAFile: caFile, CertFile: write(t, clientCert), KeyFile: write(t, clientKey)}, url, "CN=shipper,O=Acme", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := get(t, c.options, c.url)
			if body != c.body || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q, %v", body, err)
			}
		})
	}
}

func TestOptionsThatCantBe(t *testing.T) {
	ca := harness.NewAuthority(t)
	cert, key := ca.Issue(t, "a")
	_, other := ca.Issue(t, "b")
	for name, c := range map[string]struct {
		options Options
		says    string
	}{
		"no such authority":   {Options{CAFile: "/nowhere"}, "read the authorities"},
		"no PEM":              {Options{CAFile: write(t, "x")}, "holds no certificate"},
		"no such certificate": {Options{ServerCertFile: "/nowhere"}, "read the server's certificate"},
		"half a client's":     {Options{CertFile: write(t, cert)}, "needs both"},
		"of another key":      {Options{CertFile: write(t, cert), KeyFile: write(t, other)}, "does not match"},
		"the wrong way round": {Options{CertFile: write(t, key), KeyFile: write(t, cert)}, "read the client certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Transport(c.options); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}
