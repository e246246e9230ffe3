package tenancy

import (
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxKeys is how many keys of an issuer are tried on one token: a check of a signature is
// the most that a stranger can make us work.
const MaxKeys = 8

// leeway is how far the clocks of those who make our own tokens may differ from ours.
const leeway = 30 * time.Second

// issuer is an [Issuer], prepared for questions.
type issuer struct {
	Issuer
	validator *jwt.Validator
	mapping   mapping
}

// newIssuer leaves out the audiences that the validator takes for no question, and keys
// that aren't there.
func newIssuer(i Issuer, now func() time.Time) *issuer {
	i.Audiences = slices.DeleteFunc(slices.Clone(i.Audiences), func(a string) bool { return a == "" })
	i.Keys = slices.DeleteFunc(slices.Clone(i.Keys), func(k KeySet) bool { return k == nil })
	return &issuer{
		Issuer:  i,
		mapping: newMapping(i.Claims, i.Roles),
		validator: jwt.NewValidator(
			jwt.WithIssuer(i.Name),
			jwt.WithAudience(i.Audiences...),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
			jwt.WithLeeway(i.Leeway),
			jwt.WithTimeFunc(now),
		),
	}
}

// verifyJWT checks a token by what its issuer has for its tokens. The token's own "iss"
// only says which issuer that is; nothing else is read of it before its signature is
// found right.
func (s *snapshot) verifyJWT(token string, now time.Time) (*verified, error) {
	t, err := parseToken(token)
	if err != nil {
		return nil, err
	}
	name, err := text(t.claims, "iss", maxIssuerName)
	if err != nil {
		return nil, err
	}
	i := s.issuers[name]
	if i == nil {
		return nil, &Error{Reason: WrongIssuer}
	}
	v := &verified{}
	key, err := i.verifySignature(t, v, now)
	if err != nil {
		return nil, err
	}
	c, err := t.registered()
	if err != nil {
		return nil, err
	}
	// The validator doesn't ask for an audience where none is expected.
	if len(i.Audiences) == 0 {
		return nil, refused(WrongAudience, "the issuer has no audience")
	}
	if err := i.validator.Validate(&c); err != nil {
		return nil, claimsError(err)
	}
	v.id = Identity{Issuer: i.Name, Subject: c.Subject, TokenID: c.ID, Expires: c.ExpiresAt.Time}
	if c.IssuedAt != nil {
		v.id.Issued = c.IssuedAt.Time
	}
	fixed := i.Tenant
	if key.Tenant != "" {
		if fixed != "" && fixed != key.Tenant {
			return nil, refused(BadTenant, "the key is another tenant's than the issuer's")
		}
		fixed = key.Tenant
	}
	if err := i.mapping.read(t.claims, fixed, &v.id); err != nil {
		return nil, err
	}
	if s.revocations.revoked(&v.id) {
		return nil, &Error{Reason: Revoked}
	}
	v.until = v.id.Expires
	if !key.Until.IsZero() && key.Until.Before(v.until) {
		v.until = key.Until
	}
	return v, nil
}

// verifySignature returns the key that signed t, and notes in v where it came from.
func (i *issuer) verifySignature(t *unverified, v *verified, now time.Time) (PublicKey, error) {
	// The algorithm is one that we chose; that it is one which the key is for is seen to
	// by usable.
	method := jwt.GetSigningMethod(t.algorithm)
	if method == nil || !slices.Contains(i.Algorithms, t.algorithm) || !slices.Contains(Algorithms(), t.algorithm) {
		return PublicKey{}, refused(BadSignature, "algorithm not accepted")
	}
	tried := 0
	for _, set := range i.Keys {
		// Before the keys, so that a change in between isn't missed.
		generation := set.Generation()
		for _, key := range set.Keys(t.kid) {
			if t.kid != "" && key.ID != "" && key.ID != t.kid || !key.usable(t.algorithm) || key.ended(now) {
				continue
			}
			if tried++; tried > MaxKeys {
				return PublicKey{}, refused(BadSignature, "more keys than are tried")
			}
			if method.Verify(t.signed, t.signature, key.Key) == nil {
				v.keys, v.generation = set, generation
				return key, nil
			}
		}
	}
	if tried == 0 {
		return PublicKey{}, refused(BadSignature, "unknown key")
	}
	return PublicKey{}, &Error{Reason: BadSignature}
}

func (k PublicKey) ended(now time.Time) bool { return !k.Until.IsZero() && !now.Before(k.Until) }
