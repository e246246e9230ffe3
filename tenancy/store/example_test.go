package store_test

import (
	"fmt"
	"os"
	"time"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/store"
)

func Example() {
	dir, err := os.MkdirTemp("", "data")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s := store.Open(dir, time.Now)

	grant := tenancy.Grant{Tenant: "acme", Subject: "ci", Scopes: []tenancy.Scope{tenancy.LogsRead}, Life: tenancy.DefaultLife}
	token, issued, err := s.Issue(grant, store.API)
	if err != nil {
		panic(err)
	}
	fmt.Println(ask(s, token))

	// The id is enough to take the token back.
	if _, err := s.Revoke(tenancy.Revocation{TokenID: issued.ID}, "the laptop was lost", time.Time{}); err != nil {
		panic(err)
	}
	fmt.Println(ask(s, token))
	// Output:
	// ci of acme
	// revoked
}

// ask tells who the bearer of a token is, or why it is refused, as a daemon does that
// reads the store.
func ask(s *store.Store, token string) string {
	keys, err := s.KeySet()
	if err != nil {
		panic(err)
	}
	api, err := s.APITokens()
	if err != nil {
		panic(err)
	}
	revoked, err := s.Revocations()
	if err != nil {
		panic(err)
	}
	policy := tenancy.Policy{Issuers: []tenancy.Issuer{tenancy.Own(keys)}, APITokens: api, Revocations: revoked}
	id, err := tenancy.NewAuthenticator(policy, time.Now).Authenticate(tenancy.Caller{Authorization: []string{"Bearer " + token}})
	if err != nil {
		return string(tenancy.ReasonOf(err))
	}
	return id.Subject + " of " + id.Tenant
}
