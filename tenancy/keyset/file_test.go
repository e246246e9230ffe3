package keyset

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/invoscope/invoscope/tenancy"
)

func asymmetric() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

func TestPEMFileOfEachAlgorithm(t *testing.T) {
	for _, alg := range asymmetric() {
		t.Run(alg, func(t *testing.T) {
			p, other := newPair(t, alg), newPair(t, alg)
			s := open(t, Options{File: write(t, p.pem(t)), Tenant: "acme"})
			for _, kid := range []string{"", "any", "../../etc/passwd"} {
				accepted(t, s, p.token(t, kid))
				refused(t, s, other.token(t, kid))
			}
			if key, _ := verify(s, p.token(t, "")); key.Tenant != "acme" || key.ID != "" {
				t.Errorf("tenant %q, id %q; want acme and none: an authenticator takes it for any", key.Tenant, key.ID)
			}
		})
	}
}

func TestPEMFileWithID(t *testing.T) {
	p := newPair(t, "ES256")
	s := open(t, Options{File: write(t, p.pem(t)), ID: "mine"})
	accepted(t, s, p.token(t, "mine"))
	accepted(t, s, p.token(t, ""))
	refused(t, s, p.token(t, "other"))
}

func TestPEMFileOfSeveralKeysAndText(t *testing.T) {
	a, b := newPair(t, "RS256"), newPair(t, "EdDSA")
	rsaKey := x509.MarshalPKCS1PublicKey(a.key.Public().(*rsa.PublicKey))
	s := open(t, Options{File: write(t, slices.Concat([]byte("The old one:\n"),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: rsaKey}), []byte("\nthe new one:\n"), b.pem(t)))})
	accepted(t, s, a.token(t, "x"))
	accepted(t, s, b.token(t, "x"))
	if s.Status().Keys != 2 || len(s.Paths()) != 1 {
		t.Errorf("status %+v, paths %v", s.Status(), s.Paths())
	}
}

func privatePEM(t *testing.T, kind string) []byte {
	p := newPair(t, "ES256")
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func publicPEM(t *testing.T, key any) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestPEMFileRefused(t *testing.T) {
	good := newPair(t, "EdDSA")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	huge := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8192, 1), E: 65537}
	even := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2047, 1), E: 2}
	var many []byte
	for range tenancy.MaxKeys + 1 {
		many = append(many, newPair(t, "EdDSA").pem(t)...)
	}
	for name, tc := range map[string]struct {
		content []byte
		id      string
		want    string
	}{
		"empty":         {nil, "", "no PEM block"},
		"rubbish":       {[]byte("rubbish"), "", "no PEM block"},
		"cut off":       {append(good.pem(t), good.pem(t)[:40]...), "", "1 of its 2 PEM blocks can't be read"},
		"broken first":  {append(bytes.Replace(good.pem(t), []byte("\n"), []byte("\n!"), 1), good.pem(t)...), "", "can't be read"},
		"private":       {privatePEM(t, "PRIVATE KEY"), "", "private key"},
		"private, EC":   {privatePEM(t, "EC PRIVATE KEY"), "", "openssl pkey"},
		"encrypted":     {privatePEM(t, "ENCRYPTED PRIVATE KEY"), "", "private key"},
		"after a good":  {append(good.pem(t), privatePEM(t, "PRIVATE KEY")...), "", "PEM block 2: a private key"},
		"another block": {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST"}), "", `"CERTIFICATE REQUEST"`},
		"not DER":       {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), "", "PEM block 1"},
		"1024 bits":     {publicPEM(t, weak.Public()), "", "RSA key of 1024 bits (want 2048 to 8192)"},
		"8193 bits":     {publicPEM(t, huge), "", "RSA key of 8193 bits"},
		"even exponent": {publicPEM(t, even), "", "can't be one"},
		"P-224":         {publicPEM(t, curve.Public()), "", "on P-224"},
		"two for an id": {append(good.pem(t), newPair(t, "EdDSA").pem(t)...), "one", "holds 2 keys"},
		"too many":      {many, "", "more than 8 keys"},
		"large":         {bytes.Repeat([]byte("x"), maxBytes+1), "", "larger than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, tc.content)
			o, _ := logged(Options{File: path, ID: tc.id})
			_, err := Open(o)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Count(err.Error(), path) != 1 {
				t.Errorf("error %v; want %q and the path once", err, tc.want)
			}
		})
	}
}

func TestFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, filepath.Join(dir, "missing")} {
		for _, o := range []Options{{File: path}, {SecretFile: path}, {JWKSFile: path}, {JWKSURL: "https://id.example.com", CAFile: path}} {
			o, _ := logged(o)
			if _, err := Open(o); err == nil || strings.Count(err.Error(), path) != 1 {
				t.Errorf("%+v: error %v; want one that names the path once", o, err)
			}
		}
	}
}

// RFC 7638, section 3.1, and RFC 8037, appendix A.3.
func TestThumbprint(t *testing.T) {
	for want, raw := range map[string]string{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": `{"kty":"RSA","e":"AQAB","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}`,
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
	} {
		keys, err := parseJWK([]byte(raw), false)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := thumbprint(keys[0].Key); got != want || err != nil {
			t.Errorf("thumbprint %s (%v), want %s", got, err, want)
		}
	}
}

func TestRunOfAFileWaitsForTheEnd(t *testing.T) {
	s := open(t, Options{File: write(t, newPair(t, "EdDSA").pem(t))})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case err := <-ended:
		t.Fatalf("ended by itself: %v", err)
	default:
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOptionsRefused(t *testing.T) {
	file := write(t, newPair(t, "EdDSA").pem(t))
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{}, "exactly one of"},
		{Options{File: file, JWKSURL: "https://id.example.com"}, "exactly one of"},
		{Options{File: file, Discovery: true, Issuer: "https://id.example.com"}, "exactly one of"},
		{Options{JWKSURL: "https://id.example.com", ID: "x"}, "id is for file"},
		{Options{File: file, CAFile: file}, "ca_file is for"},
		{Options{JWKSURL: "https://id.example.com", CAFile: file}, "no certificate in it"},
		{Options{JWKSURL: "https://id.example.com", Refresh: -1}, "refresh"},
		{Options{JWKSURL: "http://id.example.com"}, "want https"},
		{Options{JWKSURL: "http://127.0.0.1.example.com"}, "want https"},
		{Options{JWKSURL: "http://10.0.0.1"}, "want https"},
		{Options{JWKSURL: "file:///etc/passwd"}, "absolute URL"},
		{Options{JWKSURL: "/keys"}, "absolute URL"},
		{Options{JWKSURL: "https:keys"}, "absolute URL"},
		{Options{JWKSURL: "https://me:hidden@id.example.com"}, "password"},
		{Options{JWKSURL: "https://id.example.com/#x"}, "fragment"},
		{Options{JWKSURL: "ftp://localhost/x"}, "want https"},
		{Options{JWKSURL: "http://idp.localhost/x"}, "want https"}, // DNS may be asked for it
		{Options{Discovery: true}, "absolute URL"},
		{Options{Discovery: true, Issuer: "joe"}, "absolute URL"},
		{Options{Discovery: true, Issuer: "https://id.example.com?x"}, "no query"},
	} {
		o, _ := logged(tc.o)
		_, err := Open(o)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%+v: error %v; want %q", tc.o, err, tc.want)
		}
	}
	for _, url := range []string{"https://id.example.com/x?y", "http://localhost:1/x", "http://127.9.9.9/x", "http://[::1]:80/x"} {
		open(t, Options{JWKSURL: url})
	}
}
