package tenancy_test

import (
	"fmt"
	"time"

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
