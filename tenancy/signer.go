package tenancy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// DefaultLife is how long a token lives unless its maker says otherwise.
	DefaultLife = 90 * 24 * time.Hour

	// issuerName is both who makes our tokens ("iss") and whom they are for ("aud").
	issuerName = "invoscope"

	// maxSubject bounds the subject, in bytes, so that a token stays well
	// below maxToken and a log line stays readable.
	maxSubject = 256
)

// Grant is what a new token allows.
type Grant struct {
	Tenant  string        // see [ValidTenant]
	Subject string        // who will hold the token; optional, at most 256 bytes, printable
	Scopes  []Scope       // at least one
	Life    time.Duration // at least a second; usually [DefaultLife]
}

// Validate returns what is wrong with the grant, or nil when [Signer.Issue] would take it.
func (g Grant) Validate() error {
	if err := ValidTenant(g.Tenant); err != nil {
		return err
	}
	if len(g.Scopes) == 0 {
		return errors.New("a token needs at least one scope")
	}
	for _, s := range g.Scopes {
		if _, err := ParseScope(string(s)); err != nil {
			return err
		}
	}
	if len(g.Subject) > maxSubject || !utf8.ValidString(g.Subject) || strings.ContainsFunc(g.Subject, unprintable) {
		return fmt.Errorf("subject is not valid (want at most %d bytes of printable UTF-8)", maxSubject)
	}
	if g.Life < time.Second {
		return fmt.Errorf("token life %s is too short (want at least 1s)", g.Life)
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// claims is the payload of a token on the wire.
type claims struct {
	jwt.RegisteredClaims
	Tenant string `json:"tenant"`
	Scope  string `json:"scope"` // space-separated
}

// Signer signs tokens. It is safe for concurrent use.
type Signer struct {
	key *Key
	now func() time.Time
}

// NewSigner returns a signer that signs with key and dates tokens by now
// (usually time.Now).
func NewSigner(key *Key, now func() time.Time) *Signer {
	return &Signer{key: key, now: now}
}

// Issue returns a new token for g. It fails only when g is not valid.
func (s *Signer) Issue(g Grant) (string, error) {
	if err := g.Validate(); err != nil {
		return "", fmt.Errorf("issue token: %w", err)
	}
	now := s.now()
	token, err := s.sign(claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuerName,
			Audience:  jwt.ClaimStrings{issuerName},
			Subject:   g.Subject,
			ID:        rand.Text(),
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(g.Life)),
		},
		Tenant: g.Tenant,
		Scope:  joinScopes(g.Scopes, " "),
	})
	if err != nil {
		return "", fmt.Errorf("issue token: %w", err)
	}
	return token, nil
}

func (s *Signer) sign(c claims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	t.Header["kid"] = s.key.id
	return t.SignedString(s.key.private)
}
