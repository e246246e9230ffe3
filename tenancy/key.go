package tenancy

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/golang-jwt/jwt/v5"
)

// Key is an Ed25519 key pair that signs tokens.
type Key struct {
	id      string
	private ed25519.PrivateKey
}

// Public returns the half of the key that may leave the process.
func (k *Key) Public() PublicKey {
	return NewPublicKey(k.private.Public().(ed25519.PublicKey))
}

// Keys returns a set of this key alone.
func (k *Key) Keys() KeySet { return oneKey(k.Public()) }

type oneKey PublicKey

func (k oneKey) Keys(string) []PublicKey { return []PublicKey{PublicKey(k)} }

func (oneKey) Generation() uint64 { return 0 }

// Format prints the key's id for every verb, so that no log call can print the
// private half by accident.
func (k *Key) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "Ed25519 key "+k.id)
}

// GenerateKey makes a new key.
func GenerateKey() (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return newKey(private), nil
}

// ParseKey reads a key in the form that [Key.MarshalPKCS8] writes. No error has a part
// of it.
func ParseKey(der []byte) (*Key, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("not a PKCS#8 private key")
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("holds a %T, want an Ed25519 key", parsed)
	}
	return newKey(private), nil
}

// MarshalPKCS8 returns the key, private half and all, as DER (RFC 5958). It is for
// the file that keeps the key.
func (k *Key) MarshalPKCS8() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(k.private) }

// NewPublicKey returns the public half of a [Key], under the id that its tokens name.
func NewPublicKey(public ed25519.PublicKey) PublicKey {
	return PublicKey{ID: thumbprint(public), Algorithm: jwt.SigningMethodEdDSA.Alg(), Key: public}
}

func newKey(private ed25519.PrivateKey) *Key {
	return &Key{id: thumbprint(private.Public().(ed25519.PublicKey)), private: private}
}

// thumbprint is RFC 7638 over the key's JWK as RFC 8037, section 2 writes it:
// the required members only, in lexicographic order, without whitespace.
func thumbprint(public ed25519.PublicKey) string {
	x := base64.RawURLEncoding.EncodeToString(public)
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
