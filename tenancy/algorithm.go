package tenancy

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// minRSA is the shortest RSA key that RFC 7518, sections 3.3 and 3.5, allows, in bits.
	minRSA = 2048
	// minSecret is the shortest HMAC secret, in bytes: what RFC 7518, section 3.2, asks
	// for HS256. It asks for more with HS384 and HS512, for which many issuers have no more
	// than this; whoever guesses 256 bits can as well guess 512.
	minSecret = 32
)

// Algorithms returns the JWA names (RFC 7518, section 3.1; RFC 8037) of the signatures
// that can be verified. "none" isn't one.
func Algorithms() []string {
	return []string{
		"EdDSA", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512",
		"RS256", "RS384", "RS512", "HS256", "HS384", "HS512",
	}
}

// usable reports whether the key is one for algorithm, by its own say and by its type.
// Without this an RSA public key, which everybody may know, would be an HMAC secret.
func (k PublicKey) usable(algorithm string) bool {
	if k.Algorithm != "" && k.Algorithm != algorithm {
		return false
	}
	switch key := k.Key.(type) {
	case ed25519.PublicKey:
		return algorithm == jwt.SigningMethodEdDSA.Alg() && len(key) == ed25519.PublicKeySize
	case *ecdsa.PublicKey:
		method, ok := jwt.GetSigningMethod(algorithm).(*jwt.SigningMethodECDSA)
		return ok && key != nil && key.Curve != nil && key.Curve.Params().BitSize == method.CurveBits
	case *rsa.PublicKey:
		rs := strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
		return rs && key != nil && key.N != nil && key.N.BitLen() >= minRSA
	case []byte:
		return strings.HasPrefix(algorithm, "HS") && len(key) >= minSecret
	}
	return false
}
