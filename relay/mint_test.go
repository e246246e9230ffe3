package relay

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/invoscope/invoscope/tenancy"
)

const (
	ownHost   = "acme.dev.example.com"
	otherHost = "globex.dev.example.com"
)

// fixedKeys is a key set of one key.
type fixedKeys tenancy.PublicKey

func (k fixedKeys) Keys(string) []tenancy.PublicKey { return []tenancy.PublicKey{tenancy.PublicKey(k)} }

func (fixedKeys) Generation() uint64 { return 0 }

// newTenants returns a fixture with a real authenticator and an audit log, and what
// signs tokens for it.
func newTenants(t testing.TB) (*fixture, *recorder, *minter) {
	t.Helper()
	f, log, m := newFixture(t), newRecorder(), newMinter(t)
	f.relay.opts.Authenticator = tenancy.NewAuthenticator(m.policy(), time.Now)
	f.relay.opts.Audit, f.relay.opts.AuditQueries = log, always
	return f, log, m
}

// minter makes tokens, good and bad ones.
type minter struct {
	t       testing.TB
	private ed25519.PrivateKey
}

func newMinter(t testing.TB) *minter {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &minter{t, private}
}

const revokedID = "revoked-1"

func (m *minter) policy() tenancy.Policy {
	key := fixedKeys{ID: "k", Algorithm: "EdDSA", Key: m.private.Public()}
	return tenancy.Policy{
		Issuers: []tenancy.Issuer{tenancy.Own(key)}, HostSuffix: ".dev.example.com",
		Revocations: []tenancy.Revocation{{TokenID: revokedID}},
	}
}

// token signs the claims of a token of acme with these scopes, changed.
func (m *minter) token(scopes []tenancy.Scope, change func(jwt.MapClaims)) string {
	now := time.Now()
	var words []string
	for _, s := range scopes {
		words = append(words, string(s))
	}
	claims := jwt.MapClaims{
		"iss": "invoscope", "aud": "invoscope", "sub": "tester", "jti": "t-1", "tenant": "acme", "scope": strings.Join(words, " "),
		"iat": now.Add(-2 * time.Hour).Unix(), "nbf": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	if change != nil {
		change(claims)
	}
	return m.sign(jwt.SigningMethodEdDSA, m.private, claims)
}

func (m *minter) sign(method jwt.SigningMethod, key any, claims jwt.Claims) string {
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = "k"
	signed, err := token.SignedString(key)
	if err != nil {
		m.t.Fatal(err)
	}
	return signed
}

// credential is one way to ask, and what is expected of it.
type credential struct {
	name   string // of the column
	header string // Authorization
	host   string
	want   func(expected) string
}

// credentials are the columns of the matrix, for a route that needs a scope.
func (m *minter) credentials(scope tenancy.Scope) map[string]credential {
	all := tenancy.Scopes()
	without := slices.DeleteFunc(slices.Clone(all), func(s tenancy.Scope) bool { return s == scope })
	public, err := x509.MarshalPKIXPublicKey(m.private.Public())
	if err != nil {
		m.t.Fatal(err)
	}
	valid := m.token(all, nil)
	var claims jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(valid, &claims); err != nil {
		m.t.Fatal(err)
	}
	hour := time.Now().Add(time.Hour).Unix()
	ago := time.Now().Add(-time.Hour).Unix()
	unknown := func(e expected) string { return e.unknown }
	bearer := func(token string) credential { return credential{"", "Bearer " + token, ownHost, unknown} }
	set := func(name string, value any) credential {
		return bearer(m.token(all, func(c jwt.MapClaims) { c[name] = value }))
	}
	columns := map[string]credential{
		"no token":        {"", "", ownHost, unknown},
		"malformed":       bearer("not.a.token"),
		"wrong algorithm": bearer(m.sign(jwt.SigningMethodHS256, public, claims)),
		"wrong key":       bearer(newMinter(m.t).sign(jwt.SigningMethodEdDSA, newMinter(m.t).private, claims)),
		"expired":         set("exp", ago),
		"not yet valid":   set("nbf", hour),
		"wrong issuer":    set("iss", "https://elsewhere.example.com"),
		"wrong audience":  set("aud", "somebody else"),
		"revoked":         set("jti", revokedID),
		"other host":      {"", "Bearer " + valid, otherHost, func(e expected) string { return e.notHere }},
		"missing scope":   {"", "Bearer " + m.token(without, nil), ownHost, func(e expected) string { return e.missingScope }},
		"valid":           {"", "Bearer " + valid, ownHost, func(e expected) string { return e.valid }},
	}
	for name, c := range columns {
		c.name = name
		columns[name] = c
	}
	return columns
}
