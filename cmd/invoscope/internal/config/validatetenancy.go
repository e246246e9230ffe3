package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/invoscope/invoscope/tenancy"
)

// hostSuffix is a domain in lower case, with a dot before it.
var hostSuffix = regexp.MustCompile(`^(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$`)

// maxHost is how long a host name can be, in bytes.
const maxHost = 253

func (t Tenancy) problems(p problemList, tls TLS) {
	p.err(tenancy.ValidTenant(t.DefaultTenant), ".default_tenant")
	p.check(labelName.MatchString(t.Key), ".key", "want a label name: letters, digits and underscores, not a digit first")
	p.check(t.HostSuffix == "" || len(t.HostSuffix) < maxHost && hostSuffix.MatchString(t.HostSuffix), ".host_suffix", "want a domain in lower case with a dot before it, such as .dev.example.com")
	seen := map[string]bool{}
	for n := range t.Issuers {
		i, at := &t.Issuers[n], p.at(fmt.Sprintf(".issuers[%d]", n))
		at.check(!seen[i.Issuer], ".issuer", "stands twice")
		seen[i.Issuer] = true
		i.problems(at)
	}
	subjects := map[string]bool{}
	for n, c := range t.Certificates {
		at := p.at(fmt.Sprintf(".certificates[%d]", n))
		at.check(!subjects[c.Subject], ".subject", "stands twice")
		subjects[c.Subject] = true
		c.problems(at)
	}
	p.check(len(t.Certificates) == 0 || tls.ClientCAFile != "", ".certificates", "need listen.tls.client_ca_file, which says whose certificates to believe")
}

func (c Certificate) problems(p problemList) {
	p.check(c.Subject != "", ".subject", "must not be empty")
	p.err(tenancy.ValidTenant(c.Tenant), ".tenant")
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

// pointer is a JSON pointer (RFC 6901, section 3).
var pointer = regexp.MustCompile(`^(/([^/~]|~[01])*)+$`)

func (c Claims) problems(p problemList) {
	for below, name := range map[string]string{".tenant": c.Tenant, ".tenants": c.Tenants, ".scope": c.Scope, ".roles": c.Roles} {
		p.check(!strings.HasPrefix(name, "/") || pointer.MatchString(name), below, "not a JSON pointer: after ~ must come 0 or 1")
	}
	p.check(c.Scope != "" || c.Roles != "", ".scope", "must not be empty unless there are roles: nothing else says what a token allows")
}
