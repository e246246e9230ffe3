package tenancy

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"
)

func validPolicy() Policy {
	keys := []KeySet{oneKey(PublicKey{Key: ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))})}
	return Policy{
		Issuers: []Issuer{Own(keys[0]), {
			Name: otherIssuer, Audiences: []string{"a"}, Algorithms: Algorithms(), Leeway: time.Minute, Keys: keys, Tenant: "acme",
			Claims: ClaimNames{Tenant: "tenant", Tenants: "/a/b", Scope: "scp", Roles: "/realm_access/roles"},
			Roles:  map[string][]Scope{"viewer": {LogsRead}},
		}},
		APITokens:    map[string]APIToken{"id1": {Hash: sha256.Sum256(nil), Identity: Identity{Tenant: "acme"}}},
		Revocations:  []Revocation{{Subject: "s"}},
		HostSuffix:   testSuffix,
		Certificates: []Certificate{{Subject: "CN=a", Tenant: "acme", Scopes: Scopes()}},
	}
}

func TestValidate(t *testing.T) {
	if err := validPolicy().Validate(); err != nil {
		t.Errorf("a good policy: %v", err)
	}
	if err := (Policy{}).Validate(); err != nil {
		t.Errorf("an empty policy: %v", err)
	}
	tests := map[string]struct {
		change func(*Policy)
		want   []string // paths, each with a part of the text
	}{
		"issuer without anything": {func(p *Policy) { p.Issuers[1] = Issuer{} }, []string{
			"issuers[1].algorithms: are empty", "issuers[1].audiences: are empty", "issuers[1].keys: are empty", "issuers[1].name: is empty",
		}},
		"issuer twice":       {func(p *Policy) { p.Issuers[1].Name = "invoscope" }, []string{"issuers[1].name: the same as that of issuers[0]"}},
		"unknown algorithm":  {func(p *Policy) { p.Issuers[1].Algorithms = []string{"ES256", "none"} }, []string{`issuers[1].algorithms[1]: unknown algorithm "none" (want one of EdDSA, `}},
		"algorithm's case":   {func(p *Policy) { p.Issuers[1].Algorithms = []string{"es256"} }, []string{"issuers[1].algorithms[0]: unknown"}},
		"empty audience":     {func(p *Policy) { p.Issuers[1].Audiences = []string{"a", ""} }, []string{"issuers[1].audiences[1]: is empty"}},
		"negative leeway":    {func(p *Policy) { p.Issuers[1].Leeway = -1 }, []string{"issuers[1].leeway: is -1ns"}},
		"leeway of a day":    {func(p *Policy) { p.Issuers[1].Leeway = 24 * time.Hour }, []string{"issuers[1].leeway: is 24h0m0s"}},
		"no key set":         {func(p *Policy) { p.Issuers[1].Keys = []KeySet{p.Issuers[0].Keys[0], nil} }, []string{"issuers[1].keys[1]: is not there"}},
		"issuer's tenant":    {func(p *Policy) { p.Issuers[1].Tenant = "a|b" }, []string{"issuers[1].tenant: tenant name"}},
		"bad pointer":        {func(p *Policy) { p.Issuers[1].Claims = ClaimNames{Tenant: "/~", Roles: "/a~2"} }, []string{"issuers[1].claims.roles: not a JSON pointer", "issuers[1].claims.tenant: not a JSON pointer"}},
		"role's scope":       {func(p *Policy) { p.Issuers[1].Roles = map[string][]Scope{"viewer": {LogsRead, "x"}} }, []string{"issuers[1].roles.viewer[1]: unknown scope"}},
		"revokes nothing":    {func(p *Policy) { p.Revocations = append(p.Revocations, Revocation{IssuedBefore: time.Time{}.Local()}) }, []string{"revocations[1]: sets no field"}},
		"suffix without dot": {func(p *Policy) { p.HostSuffix = "dev.example.com" }, []string{"host_suffix: doesn't begin with a dot"}},
		"suffix with a port": {func(p *Policy) { p.HostSuffix += ":3100" }, []string{"host_suffix: is not a host name"}},
		"certificate": {func(p *Policy) {
			p.Certificates = append(p.Certificates, Certificate{}, Certificate{Subject: "CN=a", Tenant: "b", Scopes: []Scope{"y"}})
		}, []string{
			"certificates[1].scopes: are empty", "certificates[1].subject: is empty", "certificates[1].tenant: tenant name is empty",
			"certificates[2].scopes[0]: unknown scope", "certificates[2].subject: the same as that of certificates[0]",
		}},
		"API token": {func(p *Policy) {
			p.APITokens["b-d"] = APIToken{Identity: Identity{Reads: []string{"a|b"}}}
			p.APITokens[strings.Repeat("x", 65)] = APIToken{Hash: sha256.Sum256(nil), Identity: Identity{}}
		}, []string{
			"api_tokens.b-d.hash: is empty", "api_tokens.b-d.identity: tenant name", "api_tokens.b-d: id is not valid",
			"api_tokens." + strings.Repeat("x", 64) + "….identity: names no tenant", "api_tokens." + strings.Repeat("x", 64) + "…: id is not valid",
		}},
		"several": {func(p *Policy) { p.HostSuffix, p.Issuers[0].Keys = "x", nil }, []string{"host_suffix: ", "issuers[0].keys: "}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := validPolicy()
			tt.change(&p)
			err := p.Validate()
			var joined interface{ Unwrap() []error }
			if !errors.As(err, &joined) {
				t.Fatalf("= %v, want problems", err)
			}
			found := joined.Unwrap()
			if len(found) != len(tt.want) {
				t.Fatalf("%d problems, want %d:\n%v", len(found), len(tt.want), err)
			}
			for i, one := range found {
				var problem *Problem
				if !errors.As(one, &problem) || problem.Path == "" || !strings.HasPrefix(problem.Error(), tt.want[i]) {
					t.Errorf("problem %q, want one that begins %q", one, tt.want[i])
				}
			}
			// It must not panic, and decide something.
			if _, err := NewAuthenticator(p, time.Now).Authenticate(bearer("a.b.c")); err == nil {
				t.Error("accepted")
			}
		})
	}
}
