package keyset

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/invoscope/invoscope/tenancy"
)

const (
	minRSA = 2048 // bits (RFC 7518, section 3.3)
	maxRSA = 8192 // bits; to verify takes time that grows with their square
)

// algorithmsOf returns the JWA names of the algorithms that key may be used with, or what
// makes it unusable. The curve of an elliptic key decides on one (RFC 7518, section 3.4).
func algorithmsOf(key any) ([]string, error) {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return []string{jwt.SigningMethodEdDSA.Alg()}, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return []string{jwt.SigningMethodES256.Alg()}, nil
		case elliptic.P384():
			return []string{jwt.SigningMethodES384.Alg()}, nil
		case elliptic.P521():
			return []string{jwt.SigningMethodES512.Alg()}, nil
		}
		return nil, fmt.Errorf("an elliptic key on %s (want P-256, P-384 or P-521)", key.Curve.Params().Name)
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return nil, fmt.Errorf("an RSA key of %d bits (want %d to %d)", bits, minRSA, maxRSA)
		}
		if key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0 {
			return nil, errors.New("an RSA key that can't be one: modulus and exponent are odd")
		}
		return []string{
			jwt.SigningMethodRS256.Alg(), jwt.SigningMethodRS384.Alg(), jwt.SigningMethodRS512.Alg(),
			jwt.SigningMethodPS256.Alg(), jwt.SigningMethodPS384.Alg(), jwt.SigningMethodPS512.Alg(),
		}, nil
	case []byte:
		return algorithmsOfSecret(key)
	default:
		return nil, fmt.Errorf("a key of type %T (want RSA, ECDSA or Ed25519)", key)
	}
}

// algorithmsOfSecret returns those whose hash isn't longer than the secret (RFC 7518,
// section 3.2).
func algorithmsOfSecret(secret []byte) ([]string, error) {
	var names []string
	for _, m := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		if len(secret) >= m.Hash.Size() {
			names = append(names, m.Alg())
		}
	}
	if names == nil {
		return nil, fmt.Errorf("a secret of %d bytes (want at least %d)", len(secret), crypto.SHA256.Size())
	}
	return names, nil
}

// publicKeys returns the key for its algorithms, or for the one that is named, if it is
// among them.
func publicKeys(id string, key any, algorithm string) ([]tenancy.PublicKey, error) {
	usable, err := algorithmsOf(key)
	if err != nil {
		return nil, err
	}
	if algorithm == "Ed25519" { // the name of RFC 9864, section 2.2, for the same signatures
		algorithm = jwt.SigningMethodEdDSA.Alg()
	}
	_, secret := key.([]byte)
	switch {
	case algorithm != "" && !slices.Contains(usable, algorithm):
		return nil, fmt.Errorf("not for signatures with %.20q (but %v)", algorithm, usable)
	case algorithm != "":
		usable = []string{algorithm}
	case len(usable) > 1 && !secret:
		usable = []string{""} // any of its type
	}
	var keys []tenancy.PublicKey
	for _, name := range usable {
		keys = append(keys, tenancy.PublicKey{ID: id, Algorithm: name, Key: key})
	}
	return keys, nil
}

// same reports whether a and b accept the same tokens.
func same(a, b tenancy.PublicKey) bool {
	if a.ID != b.ID || a.Algorithm != b.Algorithm || !a.Until.Equal(b.Until) || a.Tenant != b.Tenant {
		return false
	}
	if secret, ok := a.Key.([]byte); ok {
		other, ok := b.Key.([]byte)
		return ok && bytes.Equal(secret, other)
	}
	key, ok := a.Key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b.Key)
}

// thumbprint is RFC 7638 with SHA-256: a digest of the members that a JWK of the key's
// type requires, in lexicographic order, without whitespace.
func thumbprint(key any) (string, error) {
	jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{})
	if err != nil {
		return "", err
	}
	m := jwk.Marshal()
	required := map[string]string{"kty": string(m.KTY)}
	for name, value := range map[string]string{"crv": string(m.CRV), "x": m.X, "y": m.Y, "n": m.N, "e": m.E} {
		if value != "" {
			required[name] = value
		}
	}
	text, err := json.Marshal(required) // sorts the names
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
