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

	verifier := tenancy.NewVerifier(key.Public(), time.Now)
	sent, err := tenancy.TokenFromAuthorization([]string{"Bearer " + issued.Token})
	if err != nil {
		panic(err)
	}
	id, err := verifier.Verify(sent)
	fmt.Println(id.Tenant, id.Allows(tenancy.LogsRead), id.Allows(tenancy.LogsWrite), err)

	_, err = verifier.Verify(sent[:len(sent)-2])
	fmt.Println(tenancy.ReasonOf(err))
	// Output:
	// acme true false <nil>
	// bad signature
}
