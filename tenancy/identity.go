package tenancy

import (
	"crypto/x509"
	"slices"
	"strings"
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
	// Reads are the tenants that the caller reads, if that isn't Tenant alone: Tenant,
	// if it isn't empty, and others.
	Reads []string
	// ReadsAll says that the caller reads every tenant; Reads is then nil.
	ReadsAll bool

	Subject string    // "sub"; who the token was made for, may be empty
	TokenID string    // "jti"; may be empty
	Scopes  []Scope   // without those to write, if Tenant is empty
	Issued  time.Time // "iat"; may be zero
	Expires time.Time // zero: never

	proof *proof // for [Authenticator.Hold]; nil if no authenticator made it
}

// Allows reports whether the identity carries scope.
func (id Identity) Allows(scope Scope) bool {
	return slices.Contains(id.Scopes, scope)
}

// normalize makes what several fields say together true of an identity that is valid.
func (id *Identity) normalize() {
	if id.ReadsAll {
		id.Reads = nil
	}
	if id.Tenant != "" && len(id.Reads) > 0 && !slices.Contains(id.Reads, id.Tenant) {
		id.Reads = append([]string{id.Tenant}, id.Reads...)
	}
	if id.Tenant != "" && len(id.Reads) == 1 {
		id.Reads = nil
	}
	if id.Tenant == "" && slices.ContainsFunc(id.Scopes, Scope.Writes) {
		id.Scopes = slices.DeleteFunc(slices.Clone(id.Scopes), Scope.Writes)
	}
}

// may reports whether id names tenant, or all.
func (id *Identity) may(tenant string) bool {
	return id.ReadsAll || id.Tenant == tenant || slices.Contains(id.Reads, tenant)
}

// nameLike returns the tenant of id's whose name is label but for the case of letters:
// for one who reads all, label itself. There is none if that could be either of two.
func (id *Identity) nameLike(label string) (string, bool) {
	found := ""
	if strings.EqualFold(id.Tenant, label) {
		found = id.Tenant
	}
	for _, name := range id.Reads {
		if !strings.EqualFold(name, label) {
			continue
		}
		if found != "" && found != name {
			return "", false
		}
		found = name
	}
	if found == "" && id.ReadsAll {
		return label, true
	}
	return found, found != ""
}

// narrow leaves of what id may do only what concerns tenant, which it may act for.
func (id *Identity) narrow(tenant string) {
	id.ReadsAll, id.Reads = false, nil
	if id.Tenant != tenant {
		id.Tenant, id.Reads = "", []string{tenant}
		id.normalize()
	}
}

// covers reports whether id may do all that other may.
func (id *Identity) covers(other *Identity) bool {
	if id.Tenant != other.Tenant || other.ReadsAll && !id.ReadsAll {
		return false
	}
	for _, name := range other.Reads {
		if !id.may(name) {
			return false
		}
	}
	for _, scope := range other.Scopes {
		if !id.Allows(scope) {
			return false
		}
	}
	return true
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
