package tenancy

import (
	"slices"
	"time"
)

// revocations are indexed by what narrows them down most, so that their number doesn't
// matter to a request.
type revocations struct {
	tokenID, subject, tenant, issuer map[string][]Revocation
	// before is the latest of those that set nothing but IssuedBefore.
	before time.Time
}

func newRevocations(all []Revocation) *revocations {
	r := &revocations{
		tokenID: map[string][]Revocation{}, subject: map[string][]Revocation{},
		tenant: map[string][]Revocation{}, issuer: map[string][]Revocation{},
	}
	for _, one := range all {
		switch {
		case one.TokenID != "":
			r.tokenID[one.TokenID] = append(r.tokenID[one.TokenID], one)
		case one.Subject != "":
			r.subject[one.Subject] = append(r.subject[one.Subject], one)
		case one.Tenant != "":
			r.tenant[one.Tenant] = append(r.tenant[one.Tenant], one)
		case one.Issuer != "":
			r.issuer[one.Issuer] = append(r.issuer[one.Issuer], one)
		case one.IssuedBefore.After(r.before):
			r.before = one.IssuedBefore
		}
	}
	return r
}

// revoked reports whether id, as its token has it, is no longer accepted.
func (r *revocations) revoked(id *Identity) bool {
	if !r.before.IsZero() && id.Issued.Before(r.before) ||
		anyNames(r.tokenID[id.TokenID], id) || anyNames(r.subject[id.Subject], id) ||
		anyNames(r.tenant[id.Tenant], id) || anyNames(r.issuer[id.Issuer], id) {
		return true
	}
	return slices.ContainsFunc(id.Reads, func(name string) bool { return anyNames(r.tenant[name], id) })
}

func anyNames(some []Revocation, id *Identity) bool {
	return slices.ContainsFunc(some, func(r Revocation) bool { return r.Names(*id) })
}

// Names reports whether the revocation is of a token that says this of its bearer.
func (r Revocation) Names(id Identity) bool {
	return !r.IsZero() &&
		(r.TokenID == "" || r.TokenID == id.TokenID) &&
		(r.Subject == "" || r.Subject == id.Subject) &&
		(r.Issuer == "" || r.Issuer == id.Issuer) &&
		(r.Tenant == "" || r.Tenant == id.Tenant || slices.Contains(id.Reads, r.Tenant)) &&
		// A token that doesn't say has a zero time, which is before any.
		(r.IssuedBefore.IsZero() || id.Issued.Before(r.IssuedBefore))
}

// IsZero reports whether the revocation sets no field. That isn't a comparison: a zero
// time may be of another zone.
func (r Revocation) IsZero() bool {
	return r.TokenID == "" && r.Subject == "" && r.Issuer == "" && r.Tenant == "" && r.IssuedBefore.IsZero()
}
