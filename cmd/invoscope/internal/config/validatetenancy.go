package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

func (t Tenancy) problems(p problemList, tls TLS) {
	p.err(tenancy.ValidTenant(t.DefaultTenant), ".default_tenant")
	p.check(labelName.MatchString(t.Key), ".key", "want a label name: letters, digits and underscores, not a digit first")
	for n := range t.Issuers {
		t.Issuers[n].problems(p.at(fmt.Sprintf(".issuers[%d]", n)))
	}
	for n, c := range t.Certificates {
		c.problems(p.at(fmt.Sprintf(".certificates[%d]", n)))
	}
	p.check(len(t.Certificates) == 0 || tls.ClientCAFile != "", ".certificates", "need listen.tls.client_ca_file, which says whose certificates to believe")
	t.policyProblems(p)
}

// policyProblems asks the policy itself, whose word is the last. It doesn't say again
// what was found before.
func (t Tenancy) policyProblems(p problemList) {
	said := map[string]bool{}
	for _, one := range *p.list {
		said[one.Path] = true
		// Of scopes that don't exist the policy has none.
		if owner, _, ok := strings.Cut(one.Path, ".scopes["); ok {
			said[owner+".scopes"] = true
		}
	}
	for _, one := range unjoin(t.Policy().Validate()) {
		var problem *tenancy.Problem
		if !errors.As(one, &problem) {
			p.add("", one.Error())
			continue
		}
		below := "." + issuerName.ReplaceAllString(problem.Path, "$1.issuer")
		if !said[p.path+below] && !issuerKeys.MatchString(problem.Path) {
			p.add(below, problem.Text)
		}
	}
}

var (
	// issuerName is what a policy calls name and the configuration issuer.
	issuerName = regexp.MustCompile(`^(issuers\[\d+\])\.name$`)
	// issuerKeys are opened by whoever puts the policy in force.
	issuerKeys = regexp.MustCompile(`^issuers\[\d+\]\.keys$`)
)

func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// Policy returns what the configuration says of who may do what, but for the keys of
// the issuers: those are opened from their sources.
func (t Tenancy) Policy() tenancy.Policy {
	p := tenancy.Policy{HostSuffix: t.HostSuffix}
	for _, i := range t.Issuers {
		p.Issuers = append(p.Issuers, i.policy())
	}
	for _, c := range t.Certificates {
		p.Certificates = append(p.Certificates, tenancy.Certificate{Subject: c.Subject, Tenant: c.Tenant, Scopes: scopes(c.Scopes)})
	}
	return p
}

func (i *Issuer) policy() tenancy.Issuer {
	algorithms := i.Algorithms
	if len(algorithms) == 0 {
		algorithms = slices.DeleteFunc(tenancy.Algorithms(), symmetric)
	}
	roles := map[string][]tenancy.Scope{}
	for role, names := range i.Roles {
		roles[role] = scopes(names)
	}
	return tenancy.Issuer{
		Name: i.Issuer, Audiences: i.Audiences, Algorithms: algorithms, Leeway: time.Duration(i.Leeway),
		Tenant: i.Tenant, Claims: tenancy.ClaimNames(i.Claims), Roles: roles,
	}
}

func (c Certificate) problems(p problemList) {
	p.check(c.Subject != "", ".subject", "must not be empty")
	p.check(len(c.Scopes) > 0, ".scopes", "must name at least one")
	scopeProblems(c.Scopes, p.at(".scopes"))
}

func scopeProblems(names []string, p problemList) {
	for n, name := range names {
		_, err := tenancy.ParseScope(name)
		p.err(err, fmt.Sprintf("[%d]", n))
	}
}

// scopes returns what the names stand for; those that stand for nothing are left out.
func scopes(names []string) []tenancy.Scope {
	var all []tenancy.Scope
	for _, name := range names {
		if s, err := tenancy.ParseScope(name); err == nil {
			all = append(all, s)
		}
	}
	return all
}

func (c Claims) problems(p problemList) {
	p.check(c.Scope != "" || c.Roles != "", ".scope", "must not be empty unless there are roles: nothing else says what a token allows")
}
