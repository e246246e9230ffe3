package tenancy

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxIssuerName is the longest "iss" and entry of "aud" looked at, in bytes.
const maxIssuerName = 2048

// registered reads the claims of RFC 7519, section 4.1, that every issuer's tokens have
// in the same place.
func (t *unverified) registered() (c jwt.RegisteredClaims, err error) {
	if c.Issuer, err = text(t.claims, "iss", maxIssuerName); err != nil {
		return c, err
	}
	if c.Subject, err = text(t.claims, "sub", maxSubject); err != nil {
		return c, err
	}
	if c.ID, err = text(t.claims, "jti", maxSubject); err != nil {
		return c, err
	}
	if c.ExpiresAt, err = date(t.claims, "exp"); err != nil {
		return c, err
	}
	if c.NotBefore, err = date(t.claims, "nbf"); err != nil {
		return c, err
	}
	if c.IssuedAt, err = date(t.claims, "iat"); err != nil {
		return c, err
	}
	c.Audience, err = audience(t.claims)
	return c, err
}

// date reads a NumericDate (RFC 7519, section 2): seconds since 1970, perhaps with a
// fraction. Milliseconds, which some write by mistake, would be a token for ever.
func date(object rawJSON, name string) (*jwt.NumericDate, error) {
	v, err := object.find(name)
	if err != nil {
		return nil, malformed(name + " is there twice")
	}
	if v == nil {
		return nil, nil
	}
	const year10000 = 253402300800
	seconds, ok := v.number()
	if !ok || seconds < 0 || seconds >= year10000 {
		return nil, malformed(name + " is not a time in seconds")
	}
	return &jwt.NumericDate{Time: time.UnixMilli(int64(seconds * 1000))}, nil
}

func audience(object rawJSON) (jwt.ClaimStrings, error) {
	v, err := object.find("aud")
	if err != nil {
		return nil, malformed("aud is there twice")
	}
	if v == nil {
		return nil, nil
	}
	if one, ok := v.text(); ok {
		return jwt.ClaimStrings{one}, nil
	}
	names, ok := v.texts()
	if !ok {
		return nil, malformed("aud is neither a string nor strings")
	}
	return names, nil
}

// mapping says where an issuer's tokens have what only we look for.
type mapping struct {
	tenant, tenants, scope, roles []string // steps, see [parsePointer]
	scopes                        map[string][]Scope
}

// newMapping leaves out what can't be found; [Policy.Validate] reports it.
func newMapping(names ClaimNames, roles map[string][]Scope) mapping {
	m := mapping{scopes: roles}
	m.tenant, _ = parsePointer(names.Tenant)
	m.tenants, _ = parsePointer(names.Tenants)
	m.scope, _ = parsePointer(names.Scope)
	m.roles, _ = parsePointer(names.Roles)
	return m
}

// read fills in whose data the bearer sees, and what the bearer may do there. Tokens whose
// tenant is fixed may name it, and no other.
func (m mapping) read(claims rawJSON, fixed string, id *Identity) error {
	if err := m.readTenants(claims, id); err != nil {
		return &Error{Reason: BadTenant, cause: err}
	}
	if fixed != "" {
		others := slices.ContainsFunc(id.Reads, func(name string) bool { return name != fixed })
		if id.Tenant != "" && id.Tenant != fixed || id.ReadsAll || others {
			return refused(BadTenant, "the claims name another tenant than the issuer's")
		}
		id.Tenant = fixed
	}
	if err := id.valid(); err != nil {
		return &Error{Reason: BadTenant, cause: err}
	}
	scopes, err := words(claims, m.scope)
	if err != nil {
		return err
	}
	roles, err := words(claims, m.roles)
	if err != nil {
		return err
	}
	for _, name := range scopes {
		id.addScope(Scope(name))
	}
	for _, role := range roles {
		for _, s := range m.scopes[role] {
			id.addScope(s)
		}
	}
	id.normalize()
	return nil
}

func (m mapping) readTenants(claims rawJSON, id *Identity) error {
	one, err := claim(claims, m.tenant)
	if err != nil {
		return err
	}
	if one != nil {
		var ok bool
		if id.Tenant, ok = one.text(); !ok {
			return errors.New("the tenant claim is not a string")
		}
		// Also if it is empty, which is not the same as not to be there.
		if err := ValidTenant(id.Tenant); err != nil {
			return err
		}
	}
	several, err := claim(claims, m.tenants)
	if err != nil || several == nil {
		return err
	}
	if several.is(AllTenants) {
		id.ReadsAll = true
		return nil
	}
	names, ok := several.texts()
	switch {
	case !ok:
		return errors.New(`the tenants claim is neither an array of strings nor "*"`)
	case len(names) > maxTenants:
		return errors.New("the tenants claim names too many")
	case slices.Equal(names, []string{AllTenants}):
		id.ReadsAll = true
		return nil
	}
	for _, name := range names {
		if err := ValidTenant(name); err != nil {
			return err
		}
		if !slices.Contains(id.Reads, name) {
			id.Reads = append(id.Reads, name)
		}
	}
	return nil
}

// claim is find, for no steps nothing.
func claim(claims rawJSON, steps []string) (rawJSON, error) {
	if len(steps) == 0 {
		return nil, nil
	}
	return claims.find(steps...)
}

// words reads a claim that is a string of words (RFC 8693, section 4.2) or an array.
func words(claims rawJSON, steps []string) ([]string, error) {
	v, err := claim(claims, steps)
	if err != nil {
		return nil, malformed("a claim is there twice")
	}
	if v == nil {
		return nil, nil
	}
	if s, ok := v.text(); ok {
		return strings.Fields(s), nil
	}
	texts, ok := v.texts()
	if !ok {
		return nil, malformed("a claim of scopes or roles is neither a string nor strings")
	}
	return texts, nil
}

// addScope ignores what isn't known: a newer Invoscope may have issued scopes that this
// one doesn't know, and other programs have theirs. They allow nothing here.
func (id *Identity) addScope(s Scope) {
	if slices.Contains(Scopes(), s) && !id.Allows(s) {
		id.Scopes = append(id.Scopes, s)
	}
}
