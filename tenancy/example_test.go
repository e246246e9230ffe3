package tenancy_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/invoscope/invoscope/tenancy"
)

func Example() {
	key, err := tenancy.GenerateKey()
	if err != nil {
		panic(err)
	}
	issued, err := tenancy.NewSigner(key, time.Now).Issue(tenancy.Grant{
		Tenant: "acme",
		Scopes: []tenancy.Scope{tenancy.LogsRead},
		Life:   tenancy.DefaultLife,
	})
	if err != nil {
		panic(err)
	}

	policy := tenancy.Policy{Issuers: []tenancy.Issuer{tenancy.Own(key.Keys())}}
	authenticator := tenancy.NewAuthenticator(policy, time.Now)
	caller := tenancy.Caller{Authorization: []string{"Bearer " + issued.Token}}
	id, err := authenticator.Authenticate(caller)
	fmt.Println(id.Tenant, id.Allows(tenancy.LogsRead), id.Allows(tenancy.LogsWrite), err)

	// Taken back, the token is refused from the next request on.
	policy.Revocations = []tenancy.Revocation{{TokenID: issued.ID}}
	authenticator.Swap(policy)
	_, err = authenticator.Authenticate(caller)
	fmt.Println(tenancy.ReasonOf(err))
	// Output:
	// acme true false <nil>
	// revoked
}

// An identity provider's tokens: its roles give scopes, and the host says which of several
// tenants is meant.
func ExampleAuthenticator_Authenticate() {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	policy := tenancy.Policy{
		Issuers: []tenancy.Issuer{{
			Name:       "https://id.example.com/realms/dev",
			Audiences:  []string{"invoscope"},
			Algorithms: []string{"EdDSA", "ES256"},
			Leeway:     30 * time.Second,
			Keys:       []tenancy.KeySet{keys{{ID: "2026", Key: public}}},
			Claims:     tenancy.ClaimNames{Tenants: "groups", Roles: "/realm_access/roles"},
			Roles:      map[string][]tenancy.Scope{"viewer": {tenancy.LogsRead, tenancy.TracesRead}},
		}},
		HostSuffix: ".dev.example.com",
	}
	if err := policy.Validate(); err != nil {
		panic(err)
	}
	authenticator := tenancy.NewAuthenticator(policy, time.Now)

	// What the provider does.
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": "https://id.example.com/realms/dev", "aud": "invoscope", "exp": time.Now().Add(time.Hour).Unix(),
		"groups": []string{"acme", "beta"}, "realm_access": map[string]any{"roles": []string{"viewer"}},
	})
	token.Header["kid"] = "2026"
	signed, err := token.SignedString(private)
	if err != nil {
		panic(err)
	}

	for _, host := range []string{"localhost:3100", "beta.dev.example.com", "victim.dev.example.com"} {
		id, err := authenticator.Authenticate(tenancy.Caller{Authorization: []string{"Bearer " + signed}, Host: host})
		fmt.Println(host, id.Reads, id.Scopes, err)
	}
	// Output:
	// localhost:3100 [acme beta] [logs:read traces:read] <nil>
	// beta.dev.example.com [beta] [logs:read traces:read] <nil>
	// victim.dev.example.com [] [] credential refused: wrong host
}

// keys is a [tenancy.KeySet] that stays as it is.
type keys []tenancy.PublicKey

func (k keys) Keys(string) []tenancy.PublicKey { return k }

func (keys) Generation() uint64 { return 0 }

// A tail must not outlive the token that it was asked for with.
func ExampleAuthenticator_Hold() {
	authenticator := tenancy.NewAuthenticator(tenancy.Policy{}, time.Now)
	id := tenancy.Identity{Tenant: "acme", Expires: time.Now().Add(10 * time.Millisecond)}
	ctx, cancel := authenticator.Hold(context.Background(), id)
	defer cancel()
	<-ctx.Done()
	fmt.Println(context.Cause(ctx))
	// Output:
	// credential refused: expired
}

func ExamplePolicy_Validate() {
	policy := tenancy.Policy{HostSuffix: "dev.example.com", Issuers: []tenancy.Issuer{{
		Name: "https://id.example.com", Audiences: []string{"invoscope"}, Algorithms: []string{"none"}, Keys: []tenancy.KeySet{keys{}},
	}}}
	fmt.Println(policy.Validate())
	// Output:
	// host_suffix: doesn't begin with a dot (want one such as .dev.example.com)
	// issuers[0].algorithms[0]: unknown algorithm "none" (want one of EdDSA, ES256, ES384, ES512, PS256, PS384, PS512, RS256, RS384, RS512, HS256, HS384, HS512)
}
