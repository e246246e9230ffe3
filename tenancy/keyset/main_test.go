package keyset

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/tenancy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a key that a test signs with.
type pair struct {
	method jwt.SigningMethod
	key    crypto.Signer
}

func newPair(tb testing.TB, alg string) pair {
	tb.Helper()
	method := jwt.GetSigningMethod(alg)
	var key crypto.Signer
	var err error
	switch alg {
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return pair{method, key}
}

// token signs a token with this "kid".
func (p pair) token(tb testing.TB, kid string) string {
	tb.Helper()
	t := jwt.NewWithClaims(p.method, jwt.MapClaims{"sub": "somebody"})
	if kid != "" {
		t.Header["kid"] = kid
	}
	text, err := t.SignedString(p.key)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// verify returns the first key of the set that the token is signed with.
func verify(keys tenancy.KeySet, token string) (tenancy.PublicKey, error) {
	var key tenancy.PublicKey
	_, err := jwt.Parse(token, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		var usable jwt.VerificationKeySet
		for _, k := range keys.Keys(kid) {
			if k.Algorithm == "" || k.Algorithm == t.Method.Alg() {
				usable.Keys, key = append(usable.Keys, k.Key), k
			}
		}
		return usable, nil
	})
	return key, err
}

func accepted(tb testing.TB, keys tenancy.KeySet, token string) {
	tb.Helper()
	if _, err := verify(keys, token); err != nil {
		tb.Errorf("the token isn't accepted: %v", err)
	}
}

func refused(tb testing.TB, keys tenancy.KeySet, token string) {
	tb.Helper()
	if _, err := verify(keys, token); err == nil {
		tb.Error("the token is accepted")
	}
}

func (p pair) pem(tb testing.TB) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(p.key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// jwk is a JWK with these members beside, or instead of, those of the key.
type jwk map[string]any

func (p pair) jwk(tb testing.TB, kid string, more jwk) jwk {
	return jwkOf(tb, p.key.Public(), kid, more)
}

func jwkOf(tb testing.TB, key any, kid string, more jwk) jwk {
	tb.Helper()
	made, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{
		Metadata: jwkset.JWKMetadataOptions{KID: kid}, Marshal: jwkset.JWKMarshalOptions{Private: true},
	})
	if err != nil {
		tb.Fatal(err)
	}
	text, err := json.Marshal(made.Marshal())
	if err != nil {
		tb.Fatal(err)
	}
	m := jwk{}
	if err := json.Unmarshal(text, &m); err != nil {
		tb.Fatal(err)
	}
	maps.Copy(m, more)
	return m
}

func jwks(tb testing.TB, keys ...jwk) string {
	tb.Helper()
	text, err := json.Marshal(map[string]any{"keys": append([]jwk{}, keys...)})
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// write makes a file that others can't read.
func write(tb testing.TB, content []byte) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// lines is what was logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// logged completes options for a test.
func logged(o Options) (Options, *lines) {
	l := &lines{}
	o.Log, o.Now = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug})), time.Now
	return o, l
}

func open(tb testing.TB, o Options) *Set {
	tb.Helper()
	o, _ = logged(o)
	s, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}
