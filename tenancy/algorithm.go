package tenancy

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"

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
	switch method := jwt.GetSigningMethod(algorithm).(type) {
	case *jwt.SigningMethodEd25519:
		key, ok := k.Key.(ed25519.PublicKey)
		return ok && len(key) == ed25519.PublicKeySize
	case *jwt.SigningMethodECDSA:
		// The library doesn't mind the curve.
		key, ok := k.Key.(*ecdsa.PublicKey)
		return ok && key != nil && key.Curve != nil && key.Curve.Params().BitSize == method.CurveBits
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		key, ok := k.Key.(*rsa.PublicKey)
		return ok && key != nil && key.N != nil && key.N.BitLen() >= minRSA
	case *jwt.SigningMethodHMAC:
		key, ok := k.Key.([]byte)
		return ok && len(key) >= minSecret
	}
	return false
}
