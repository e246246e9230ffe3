package tenancy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// DefaultLife is how long a token lives unless its maker says otherwise.
	DefaultLife = 90 * 24 * time.Hour

	// OwnIssuer is both who makes our tokens ("iss") and whom they are for ("aud").
	OwnIssuer = "invoscope"

	issuerName = OwnIssuer

	// maxSubject bounds the subject, in bytes, so that a token stays well
	// below maxToken and a log line stays readable.
	maxSubject = 256
)

// Grant is what a new token allows.
type Grant struct {
	// Tenant is whose data the token writes and reads, see [ValidTenant]. It may be
	// empty for a token that only reads.
	Tenant string
	// Tenants are those whose data the token reads beside Tenant's: at most 64, or "*"
	// alone for all. It may be empty if Tenant isn't.
	Tenants []string
	Subject string        // who will hold the token; optional, at most 256 bytes, printable
	Scopes  []Scope       // at least one
	Life    time.Duration // at least a second; usually [DefaultLife]
}

// Validate returns what is wrong with the grant, or nil when [Signer.Issue] would take it.
func (g Grant) Validate() error {
	if err := g.validateTenants(); err != nil {
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

func (g Grant) validateTenants() error {
	if g.Tenant != "" || len(g.Tenants) == 0 {
		if err := ValidTenant(g.Tenant); err != nil {
			return err
		}
	}
	if g.Tenant == "" && slices.ContainsFunc(g.Scopes, Scope.Writes) {
		return errors.New("a token that writes needs one tenant to write to")
	}
	if len(g.Tenants) > maxTenants {
		return fmt.Errorf("%d tenants to read are too many (want at most %d, or * for all)", len(g.Tenants), maxTenants)
	}
	if slices.Equal(g.Tenants, []string{AllTenants}) {
		return nil
	}
	for _, name := range g.Tenants {
		if err := ValidTenant(name); err != nil {
			return err
		}
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// claims is the payload of a token on the wire.
type claims struct {
	jwt.RegisteredClaims
	Tenant  string   `json:"tenant,omitempty"`
	Tenants []string `json:"tenants,omitempty"`
	Scope   string   `json:"scope"` // space-separated
}

// Issued is a new token, and what a record of it needs. Only Token is secret.
type Issued struct {
	Token    string
	ID       string    // "jti"
	IssuedAt time.Time // "iat", whole seconds
	Expires  time.Time // "exp", whole seconds
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
func (s *Signer) Issue(g Grant) (Issued, error) {
	if err := g.Validate(); err != nil {
		return Issued{}, fmt.Errorf("issue token: %w", err)
	}
	now := s.now()
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuerName,
			Audience:  jwt.ClaimStrings{issuerName},
			Subject:   g.Subject,
			ID:        rand.Text(),
			IssuedAt:  jwt.NewNumericDate(now),
			NotBefore: jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(g.Life)),
		},
		Tenant:  g.Tenant,
		Tenants: g.Tenants,
		Scope:   joinScopes(g.Scopes, " "),
	}
	token, err := s.sign(c)
	if err != nil {
		return Issued{}, fmt.Errorf("issue token: %w", err)
	}
	return Issued{Token: token, ID: c.ID, IssuedAt: c.IssuedAt.Time, Expires: c.ExpiresAt.Time}, nil
}

func (s *Signer) sign(c claims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	t.Header["kid"] = s.key.id
	return t.SignedString(s.key.private)
}
