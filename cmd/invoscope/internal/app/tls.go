package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/config"
)

// security is the TLS of the public ports: what is in force can be replaced, for
// connections from then on. Those that are open live on.
type security struct {
	current atomic.Pointer[tls.Config]
}

// put puts c in force; nil if the ports aren't encrypted.
func (s *security) put(c *tls.Config) { s.current.Store(c) }

// config returns the configuration of servers, which asks at each handshake for what is
// in force.
func (s *security) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load(), nil },
	}
}

// listen returns ln with TLS, if that is in force when the daemon starts.
func (s *security) listen(ln net.Listener) net.Listener {
	if s.current.Load() == nil {
		return ln
	}
	return tls.NewListener(ln, s.config())
}

// readTLS reads the files of c. It returns nil if c says that there is no TLS.
func readTLS(c config.TLS) (*tls.Config, error) {
	if !c.Enabled() {
		return nil, nil
	}
	var errs []error
	cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		errs = append(errs, fmt.Errorf("listen.tls.cert_file: %w", err))
	}
	out := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{cert},
	}
	if c.ClientCAFile != "" {
		if out.ClientCAs, err = readPool(c.ClientCAFile); err != nil {
			errs = append(errs, fmt.Errorf("listen.tls.client_ca_file: %w", err))
		}
		out.ClientAuth = tls.VerifyClientCertIfGiven
		if c.RequireClientCertificate {
			out.ClientAuth = tls.RequireAndVerifyClientCert
		}
		// A session that is resumed would bring a client's certificate from before the
		// authorities changed.
		out.SessionTicketsDisabled = true
	}
	return out, errors.Join(errs...)
}

func readPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

// notAfter is when the certificate ends to be valid; zero if there is none.
func notAfter(c *tls.Config) time.Time {
	if c == nil || len(c.Certificates) == 0 || c.Certificates[0].Leaf == nil {
		return time.Time{}
	}
	return c.Certificates[0].Leaf.NotAfter
}
