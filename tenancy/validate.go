package tenancy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxLeeway is how far clocks may differ. Those that differ more need repair, and each
// second of it is one that an expired token is accepted.
const maxLeeway = 10 * time.Minute

// Problem is something in a [Policy] that can't be right.
type Problem struct {
	// Path says where, such as issuers[1].algorithms[0].
	Path string
	// Text says what, without a secret.
	Text string
}

func (p *Problem) Error() string { return p.Path + ": " + p.Text }

// Validate returns all that can't be right in the policy, as [*Problem]s joined by
// [errors.Join], or nil. An [Authenticator] takes any policy, and refuses whom it can't
// judge by it.
func (p Policy) Validate() error {
	var found problems
	names := map[string]int{}
	for i, issuer := range p.Issuers {
		path := fmt.Sprintf("issuers[%d]", i)
		if first, ok := names[issuer.Name]; ok {
			found.add(path+".name", "the same as that of issuers[%d]", first)
		} else {
			names[issuer.Name] = i
		}
		issuer.validate(path, &found)
	}
	for id, token := range p.APITokens {
		token.validate("api_tokens."+shorten(id), id, &found)
	}
	for i, r := range p.Revocations {
		if r.IsZero() {
			found.add(fmt.Sprintf("revocations[%d]", i), "sets no field, so that it names no token")
		}
	}
	if err := validHostSuffix(p.HostSuffix); p.HostSuffix != "" && err != nil {
		found.add("host_suffix", "%v", err)
	}
	subjects := map[string]int{}
	for i, c := range p.Certificates {
		path := fmt.Sprintf("certificates[%d]", i)
		if first, ok := subjects[c.Subject]; ok {
			found.add(path+".subject", "the same as that of certificates[%d]", first)
		} else {
			subjects[c.Subject] = i
		}
		c.validate(path, &found)
	}
	// A map gives the API tokens in any order.
	slices.SortStableFunc(found, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(found...)
}

type problems []error

func (p *problems) add(path, format string, args ...any) {
	*p = append(*p, &Problem{Path: path, Text: fmt.Sprintf(format, args...)})
}

func (p *problems) addScopes(path string, scopes []Scope) {
	for i, s := range scopes {
		if _, err := ParseScope(string(s)); err != nil {
			p.add(fmt.Sprintf("%s[%d]", path, i), "%v", err)
		}
	}
}

func (i Issuer) validate(path string, found *problems) {
	if i.Name == "" {
		found.add(path+".name", "is empty")
	}
	if len(i.Audiences) == 0 {
		found.add(path+".audiences", "are empty, so that every token would be refused")
	}
	for n, audience := range i.Audiences {
		if audience == "" {
			found.add(fmt.Sprintf("%s.audiences[%d]", path, n), "is empty")
		}
	}
	if len(i.Algorithms) == 0 {
		found.add(path+".algorithms", "are empty, so that every token would be refused")
	}
	for n, name := range i.Algorithms {
		if !slices.Contains(Algorithms(), name) {
			found.add(fmt.Sprintf("%s.algorithms[%d]", path, n), "unknown algorithm %q (want one of %s)", shorten(name), strings.Join(Algorithms(), ", "))
		}
	}
	if i.Leeway < 0 || i.Leeway > maxLeeway {
		found.add(path+".leeway", "is %s (want 0 to %s)", i.Leeway, maxLeeway)
	}
	if len(i.Keys) == 0 {
		found.add(path+".keys", "are empty, so that every token would be refused")
	}
	if n := slices.Index(i.Keys, nil); n >= 0 {
		found.add(fmt.Sprintf("%s.keys[%d]", path, n), "is not there")
	}
	if i.Tenant != "" {
		if err := ValidTenant(i.Tenant); err != nil {
			found.add(path+".tenant", "%v", err)
		}
	}
	for _, claim := range []struct{ name, value string }{
		{"tenant", i.Claims.Tenant}, {"tenants", i.Claims.Tenants}, {"scope", i.Claims.Scope}, {"roles", i.Claims.Roles},
	} {
		if _, err := parsePointer(claim.value); err != nil {
			found.add(path+".claims."+claim.name, "%v", err)
		}
	}
	for role, scopes := range i.Roles {
		found.addScopes(path+".roles."+shorten(role), scopes)
	}
}

func (t APIToken) validate(path, id string, found *problems) {
	if id == "" || len(id) > maxTokenID || strings.ContainsFunc(id, notAlphanumeric) {
		found.add(path, "id is not valid (want 1 to %d of a-z, A-Z and 0-9)", maxTokenID)
	}
	if t.Hash == (APIToken{}.Hash) {
		found.add(path+".hash", "is empty")
	}
	if err := t.Identity.valid(); err != nil {
		found.add(path+".identity", "%v", err)
	}
}

func (c Certificate) validate(path string, found *problems) {
	if err := validSubject(c.Subject); err != nil {
		found.add(path+".subject", "%v", err)
	}
	if err := ValidTenant(c.Tenant); err != nil {
		found.add(path+".tenant", "%v", err)
	}
	if len(c.Scopes) == 0 {
		found.add(path+".scopes", "are empty, so that the certificate would allow nothing")
	}
	found.addScopes(path+".scopes", c.Scopes)
}

// valid returns an error for an identity that no caller may have.
func (id Identity) valid() error {
	if id.Tenant == "" && len(id.Reads) == 0 && !id.ReadsAll {
		return errors.New("names no tenant")
	}
	if len(id.Reads) > maxTenants+1 {
		return fmt.Errorf("names %d tenants (want at most %d, or all)", len(id.Reads), maxTenants)
	}
	if id.Tenant != "" {
		if err := ValidTenant(id.Tenant); err != nil {
			return err
		}
	}
	for _, name := range id.Reads {
		if err := ValidTenant(name); err != nil {
			return err
		}
	}
	return nil
}
