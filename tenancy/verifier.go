package tenancy

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// maxToken is the longest token looked at, in bytes. Ours are some 500.
	maxToken = 8 << 10

	// leeway is how far the clocks of issuer and verifier may differ.
	leeway = 30 * time.Second

	// cacheSize is how many verified tokens are remembered, a few hundred
	// bytes each. Tenants have a handful of tokens.
	cacheSize = 4096
)

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	key    PublicKey
	now    func() time.Time
	parser *jwt.Parser
	// cache remembers accepted tokens by their SHA-256, so that it holds no
	// usable token. Refused ones are not kept: strangers could fill it.
	cache *lru.Cache[[sha256.Size]byte, Identity]
}

// NewVerifier returns a verifier that accepts what the holder of key signed,
// judging time by now (usually time.Now).
func NewVerifier(key PublicKey, now func() time.Time) *Verifier {
	// New fails only for a size below one.
	cache, _ := lru.New[[sha256.Size]byte, Identity](cacheSize)
	return &Verifier{
		key:   key,
		now:   now,
		cache: cache,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
			jwt.WithStrictDecoding(),
			jwt.WithIssuer(issuerName),
			jwt.WithAudience(issuerName),
			jwt.WithExpirationRequired(),
			jwt.WithLeeway(leeway),
			jwt.WithTimeFunc(now),
		),
	}
}

// Verify returns who the bearer of token is. Every error is an [*Error].
//
// Issuer, audience, expiry and signature must all be right; clocks may differ
// by 30 seconds. Scopes that don't exist are left out.
func (v *Verifier) Verify(token string) (Identity, error) {
	// Before hashing or parsing: neither should work through a megabyte.
	if len(token) > maxToken {
		return Identity{}, malformed("longer than 8 KiB")
	}
	sum := sha256.Sum256([]byte(token))
	if id, ok := v.cache.Get(sum); ok && v.now().Before(id.Expires) {
		return id, nil
	}
	id, err := v.check(token)
	if err != nil {
		return Identity{}, err
	}
	v.cache.Add(sum, id)
	return id, nil
}

func (v *Verifier) check(token string) (Identity, error) {
	if token == "" {
		return Identity{}, &Error{Reason: Missing}
	}
	// Go's base64 skips line breaks, so without this one token would have
	// many spellings, each with a cache entry of its own.
	if strings.ContainsAny(token, "\r\n") {
		return Identity{}, malformed("contains a line break")
	}
	var c claims
	if _, err := v.parser.ParseWithClaims(token, &c, v.keyFor); err != nil {
		return Identity{}, parseError(err)
	}
	if err := ValidTenant(c.Tenant); err != nil {
		return Identity{}, &Error{Reason: BadTenant, cause: err}
	}
	return Identity{
		Tenant:  c.Tenant,
		Subject: c.Subject,
		TokenID: c.ID,
		Scopes:  knownScopes(c.Scope),
		Expires: c.ExpiresAt.Time,
	}, nil
}

// keyFor lets the token name one of our keys, never bring one.
func (v *Verifier) keyFor(t *jwt.Token) (any, error) {
	if kid, _ := t.Header["kid"].(string); kid != v.key.ID {
		return nil, errors.New("unknown key")
	}
	return v.key.Key, nil
}

// knownScopes reads a "scope" claim. A newer Invoscope may have issued scopes
// that this one doesn't know: they allow nothing here.
func knownScopes(claim string) []Scope {
	known := Scopes()
	var scopes []Scope
	for name := range strings.FieldsSeq(claim) {
		if s := Scope(name); slices.Contains(known, s) && !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}
