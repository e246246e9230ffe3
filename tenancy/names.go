package tenancy

import "slices"

// Names tells whether the bearer of a token is somebody that the revocation is about.
func (r Revocation) Names(id Identity) bool {
	return r != Revocation{} &&
		(r.TokenID == "" || r.TokenID == id.TokenID) &&
		(r.Subject == "" || r.Subject == id.Subject) &&
		(r.Issuer == "" || r.Issuer == id.Issuer) &&
		(r.Tenant == "" || r.Tenant == id.Tenant || slices.Contains(id.Reads, r.Tenant)) &&
		// A token that doesn't say has a zero time, which is before any.
		(r.IssuedBefore.IsZero() || id.Issued.Before(r.IssuedBefore))
}
