package trust

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

// Options say whom to trust.
type Options struct {
	// CAFile is PEM: who alone vouches for the server. Empty: the system's authorities.
	CAFile string
	// ServerCertFile is PEM: the certificate that the server has, first. It is read at
	// each handshake, and replaces CAFile.
	ServerCertFile string
	// CertFile and KeyFile are what is shown to a server that asks, PEM; both are read at
	// each handshake. Empty: nothing.
	CertFile, KeyFile string
}

// Transport returns a transport that trusts so. It reads the files, and fails on what
// is wrong with them.
func Transport(o Options) (*http.Transport, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case o.ServerCertFile != "":
		if _, err := readCertificate(o.ServerCertFile); err != nil {
			return nil, err
		}
		c.InsecureSkipVerify = true // the next line verifies, by the certificate itself
		c.VerifyConnection = func(s tls.ConnectionState) error { return same(s, o.ServerCertFile) }
	case o.CAFile != "":
		content, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("read the authorities: %s holds no certificate in PEM", o.CAFile)
		}
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("a client certificate needs both its file and that of its key")
	}
	if o.CertFile != "" {
		if _, err := o.clientCertificate(nil); err != nil {
			return nil, err
		}
		c.GetClientCertificate = o.clientCertificate
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = c
	return transport, nil
}

func (o Options) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the client certificate: %w", err)
	}
	return &cert, nil
}

// same returns an error unless the server has shown, and proven to have, the
// certificate in a file.
func same(s tls.ConnectionState, file string) error {
	want, err := readCertificate(file)
	if err != nil {
		return err
	}
	if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, want.Raw) {
		return fmt.Errorf("the server's certificate is not the one in %s (name its authority with --ca-file)", file)
	}
	if now := time.Now(); now.After(want.NotAfter) {
		return fmt.Errorf("the server's certificate in %s ended on %s", file, want.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

func readCertificate(file string) (*x509.Certificate, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the server's certificate: %w", err)
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read the server's certificate: %s: %w", file, err)
		}
		return cert, nil
	}
	return nil, fmt.Errorf("read the server's certificate: %s holds no certificate in PEM", file)
}
