package keyset

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// certificate returns p's, until then, signed by itself, as openssl req -x509 makes it.
func (p pair) certificate(tb testing.TB, until time.Time) []byte {
	tb.Helper()
	return p.certify(tb, p, until)
}

// certify returns the certificate of other's key that p signs.
func (p pair) certify(tb testing.TB, other pair, until time.Time) []byte {
	tb.Helper()
	subject := func(p pair) *x509.Certificate {
		id, err := thumbprint(p.key.Public())
		if err != nil {
			tb.Fatal(err)
		}
		return &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: id}, NotBefore: until.Add(-time.Hour), NotAfter: until,
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, subject(other), subject(p), other.key.Public(), p.key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestCertificate(t *testing.T) {
	p := newPair(t, "ES384")
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	s := open(t, Options{File: write(t, p.certificate(t, until))})
	key, err := verify(s, p.token(t, ""))
	if err != nil || !key.Until.Equal(until) {
		t.Errorf("until %v (%v), want the certificate's end %v", key.Until, err, until)
	}
	o, log := logged(Options{File: write(t, p.certificate(t, time.Now().Add(-time.Second)))})
	if _, err := Open(o); err != nil || !strings.Contains(log.String(), "expired") {
		t.Errorf("error %v, log %q; want a warning about an expired certificate", err, log)
	}
}

// A chain has the authority's key in it, which nobody wants to sign tokens.
func TestChainOfCertificates(t *testing.T) {
	authority, signer, other := newPair(t, "ES256"), newPair(t, "EdDSA"), newPair(t, "RS256")
	until := time.Now().Add(time.Hour)
	chain := append(authority.certify(t, signer, until), authority.certificate(t, until)...)
	o, _ := logged(Options{File: write(t, chain)})
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "keep only the one that signs tokens") {
		t.Errorf("error %v", err)
	}
	// Certificates that have nothing to do with each other are two keys, or one twice.
	s := open(t, Options{File: write(t, append(authority.certify(t, signer, until), other.certificate(t, until)...))})
	accepted(t, s, signer.token(t, ""))
	accepted(t, s, other.token(t, ""))
	refused(t, s, authority.token(t, ""))
	open(t, Options{File: write(t, append(other.certificate(t, until), other.certificate(t, until)...))})
}
