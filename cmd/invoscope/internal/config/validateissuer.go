package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/keyset"
)

// symmetric reports whether an algorithm's key is a secret that both sides have.
func symmetric(algorithm string) bool { return strings.HasPrefix(algorithm, "HS") }

const minRefresh = Duration(10 * time.Second)

func (i *Issuer) problems(p problemList) {
	p.check(i.Issuer != tenancy.OwnIssuer, ".issuer", "invoscope is the issuer of the daemon's own tokens")
	p.check(len(i.Audiences) > 0, ".audiences", "must name what tokens for this Invoscope have as aud")
	i.Claims.problems(p.at(".claims"))
	p.check(len(i.Keys) > 0, ".keys", "must name at least one source of keys")
	unnamed := 0
	for n := range i.Keys {
		i.Keys[n].problems(p.at(fmt.Sprintf(".keys[%d]", n)), i)
		if i.Keys[n].matchesAny() {
			unnamed++
		}
	}
	p.check(unnamed <= tenancy.MaxKeys, ".keys", fmt.Sprintf("%d files without an id, of which only %d are tried on a token: give them ids, which tokens name as kid", unnamed, tenancy.MaxKeys))
	p.check(i.namesTenant(), ".claims", "say no tenant, and nothing else does: set tenant, or claims.tenant, or claims.tenants")
	i.algorithmProblems(p)
	i.roleProblems(p)
}

// namesTenant reports whether a token of the issuer can have a tenant.
func (i *Issuer) namesTenant() bool {
	return i.Tenant != "" || i.Claims.Tenant != "" || i.Claims.Tenants != "" ||
		!slices.ContainsFunc(i.Keys, func(k KeySource) bool { return k.Tenant == "" })
}

func (i *Issuer) algorithmProblems(p problemList) {
	hmac := slices.ContainsFunc(i.Algorithms, symmetric)
	others := slices.ContainsFunc(i.Algorithms, func(name string) bool { return !symmetric(name) })
	for n, name := range i.Algorithms {
		p.check(slices.Contains(tenancy.Algorithms(), name), fmt.Sprintf(".algorithms[%d]", n), oneOf(name, tenancy.Algorithms()))
	}
	secret := func(k KeySource) bool { return k.SecretFile != "" }
	public := func(k KeySource) bool { return k.SecretFile == "" }
	p.check(!hmac || slices.ContainsFunc(i.Keys, secret), ".algorithms", "HS256, HS384 and HS512 need a secret_file")
	p.check(!others || slices.ContainsFunc(i.Keys, public), ".algorithms", "only HS256, HS384 and HS512 go with a secret_file alone")
	for n, k := range i.Keys {
		p.check(!secret(k) || hmac, fmt.Sprintf(".keys[%d].secret_file", n), "needs HS256, HS384 or HS512 among the issuer's algorithms")
	}
}

func (i *Issuer) roleProblems(p problemList) {
	for role, names := range i.Roles {
		p.check(role != "", ".roles", "a role without a name")
		p.check(len(names) > 0, ".roles."+role, "must name at least one scope")
		scopeProblems(names, p.at(".roles."+role))
	}
	p.check(len(i.Roles) == 0 || i.Claims.Roles != "", ".roles", "need claims.roles, which says where a token names its roles")
	p.check(len(i.Roles) > 0 || i.Claims.Roles == "", ".claims.roles", "gives nothing without roles")
}

// Remote reports whether the keys are fetched over the network.
func (k KeySource) Remote() bool { return k.JWKSURL != "" || k.Discovery }

// matchesAny reports whether the keys are tried on tokens of any "kid".
func (k KeySource) matchesAny() bool { return (k.File != "" || k.SecretFile != "") && k.ID == "" }

func (k *KeySource) problems(p problemList, of *Issuer) {
	sources := 0
	for _, set := range []bool{k.File != "", k.SecretFile != "", k.JWKSFile != "", k.JWKSURL != "", k.Discovery} {
		if set {
			sources++
		}
	}
	p.check(sources == 1, "", "want exactly one of file, secret_file, jwks_file, jwks_url and discovery")
	if k.JWKSURL != "" {
		p.err(keyset.CheckURL(string(k.JWKSURL)), ".jwks_url")
	}
	if k.Discovery {
		if err := keyset.CheckIssuer(of.Issuer); err != nil {
			p.add(".discovery", "the issuer's name must be where to ask: "+err.Error())
		}
	}
	p.check(k.ID == "" || k.File != "" || k.SecretFile != "", ".id", "is for a file or a secret_file: others name their keys themselves")
	p.check(k.CAFile == "" || k.Remote(), ".ca_file", "is for a jwks_url or discovery")
	p.check(k.Refresh >= minRefresh, ".refresh", "must be at least 10s")
	if k.Tenant != "" {
		p.err(tenancy.ValidTenant(k.Tenant), ".tenant")
	}
}
