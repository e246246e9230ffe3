package tenancy

import (
	"crypto/sha256"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Policy is all that an [Authenticator] decides by. It is data: nothing in it
// changes once it is in force, but for the keys of a [KeySet].
type Policy struct {
	// Issuers are those whose JWTs are accepted. Names are unique.
	Issuers []Issuer
	// APITokens are the opaque tokens, by id.
	APITokens map[string]APIToken
	// Revocations are the tokens that are no longer accepted, whoever issued them.
	Revocations []Revocation
	// HostSuffix, such as ".dev.example.com", makes the hosts below it stand for a
	// tenant each: acme.dev.example.com is only for those who may act for acme, in any
	// case of its letters, and shows them acme alone. One who reads all tenants reads
	// that of the host's name in lower case. What is below and names no tenant, such as
	// a.b.dev.example.com, is for nobody.
	//
	// Other hosts have no say, as none has if HostSuffix is empty. That is safe: a host is
	// what the client says it is, so it only ever takes away from what the token allows.
	HostSuffix string
	// Certificates are the client certificates that stand for a tenant.
	Certificates []Certificate
}

// Issuer is somebody whose JWTs are accepted.
type Issuer struct {
	Name       string        // "iss"
	Audiences  []string      // "aud" must name one of them
	Algorithms []string      // of [Algorithms]; others are refused
	Leeway     time.Duration // how far its clock may differ from ours
	Keys       []KeySet
	// Tenant is the tenant of all its tokens. If it is empty, the key or the claims say.
	// A token whose claims name another is refused, also if they name it among several.
	Tenant string
	Claims ClaimNames
	// Roles gives the scopes of a role; what isn't in it gives none.
	Roles map[string][]Scope
}

// ClaimNames say where in an issuer's tokens things are. A name that begins with a
// slash is a JSON pointer (RFC 6901), any other that of a claim as it is. Empty
// means that the issuer doesn't say such a thing. A claim that is null isn't there; one
// of another type than these makes a token [Malformed], or a [BadTenant].
type ClaimNames struct {
	Tenant  string // a string
	Tenants string // an array of at most 64 strings, or "*" or ["*"] for all
	Scope   string // a string of words (RFC 8693, section 4.2), or an array of strings
	Roles   string // likewise
}

// KeySet holds keys that verify signatures. It is safe for concurrent use.
type KeySet interface {
	// Keys returns those keys that may have signed a token with this "kid", which is
	// empty if the token names none. It may wait for keys to be fetched. Of all that an
	// issuer's sets return, those are tried that have this id or none, at most [MaxKeys].
	Keys(kid string) []PublicKey
	// Generation changes whenever a key is taken away or replaced.
	Generation() uint64
}

// PublicKey is a key that verifies signatures.
type PublicKey struct {
	ID        string // "kid"
	Algorithm string // the JWA name of the only one it is for; empty: any of its type
	// Key is an ed25519.PublicKey, *ecdsa.PublicKey, *rsa.PublicKey of at least 2048
	// bits, or for HMAC a []byte of at least 32. Others verify nothing.
	Key    any
	Tenant string    // the tenant of all tokens that it signed; empty: see [Issuer]
	Until  time.Time // when it ends to be accepted; zero: never
}

// APIToken is an opaque token as it is kept.
type APIToken struct {
	Hash     [sha256.Size]byte // SHA-256 of the whole token
	Identity Identity
}

// Revocation names tokens that are no longer accepted: those of which every field
// that it sets is true. One that sets none names no token.
type Revocation struct {
	TokenID      string
	Subject      string
	IssuedBefore time.Time // a token that doesn't say when it was issued was issued before
	Issuer       string
	Tenant       string // that the token writes to, or names among those it reads; "*" names none
}

// Certificate says whom a client certificate stands for. A [Revocation] names it by its
// subject, or by its serial number in lower-case hexadecimal without leading zeros as
// TokenID, and Issuer "certificate".
type Certificate struct {
	Subject string // RFC 2253, as [crypto/x509/pkix.Name.String] writes it
	Tenant  string
	Scopes  []Scope
}

// Own returns the issuer of the tokens that a [Signer] makes, whose keys are in keys.
func Own(keys KeySet) Issuer {
	return Issuer{
		Name: issuerName, Audiences: []string{issuerName}, Algorithms: []string{jwt.SigningMethodEdDSA.Alg()},
		Leeway: leeway, Keys: []KeySet{keys},
		Claims: ClaimNames{Tenant: "tenant", Tenants: "tenants", Scope: "scope"},
	}
}
