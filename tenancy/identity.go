package tenancy

import (
	"crypto/x509"
	"slices"
	"time"
)

// Identity is who is calling, as an [Authenticator] found out. Treat it as
// read-only: the requests that carry one token share its slices.
type Identity struct {
	// Issuer is who says so: the "iss" of a token, or how else the caller was known.
	Issuer string
	// Tenant is whose data the caller writes, and reads unless Reads says more. It is
	// empty for one who only reads, of several tenants.
	Tenant string
	// Reads are the tenants that the caller reads, if that isn't Tenant alone.
	Reads []string
	// ReadsAll says that the caller reads every tenant.
	ReadsAll bool

	Subject string // "sub"; who the token was made for, may be empty
	TokenID string // "jti"; may be empty
	Scopes  []Scope
	Issued  time.Time // "iat"; may be zero
	Expires time.Time // zero: never
}

// Allows reports whether the identity carries scope.
func (id Identity) Allows(scope Scope) bool {
	return slices.Contains(id.Scopes, scope)
}

// Caller is what a request says of who sends it.
type Caller struct {
	// Authorization holds the values of the header, or of the gRPC metadata, of that
	// name: see [TokenFromAuthorization].
	Authorization []string
	// Host is the Host header or :authority, as it came.
	Host string
	// ServerName is the name that TLS was asked for (SNI); empty without.
	ServerName string
	// Certificate is the client's, verified; nil if it has none.
	Certificate *x509.Certificate
}
