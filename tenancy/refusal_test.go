package tenancy

import (
	"strings"
	"testing"
	"time"
)

// TestBearerOfARefusedToken holds what the audit log may say of a token that is refused:
// what a right signature vouches for, and nothing of any other.
func TestBearerOfARefusedToken(t *testing.T) {
	c := newClock()
	key := openTestKey(t)
	token := issue(t, key, c.now, Grant{Tenant: "acme", Subject: "ci", Scopes: []Scope{LogsRead}, Life: time.Hour})
	id, err := ownAuthenticator(key, c.now).Authenticate(bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	own := Policy{Issuers: []Issuer{Own(key.Keys())}, HostSuffix: ".example.com"}
	revoked := own
	revoked.Revocations = []Revocation{{TokenID: id.TokenID}}
	others := own
	others.Issuers = []Issuer{Own(openTestKey(t).Keys())}
	audience := own
	audience.Issuers = []Issuer{Own(key.Keys())}
	audience.Issuers[0].Audiences = []string{"another"}
	known := Identity{Issuer: id.Issuer, Subject: "ci", TokenID: id.TokenID}
	withTenant := known
	withTenant.Tenant = "acme"
	for name, tt := range map[string]struct {
		policy Policy
		caller Caller
		later  time.Duration
		reason Reason
		want   Identity
	}{
		"revoked":        {revoked, bearer(token), 0, Revoked, withTenant},
		"expired":        {own, bearer(token), 2 * time.Hour, Expired, known},
		"wrong audience": {audience, bearer(token), 0, WrongAudience, known},
		"wrong host":     {own, Caller{Authorization: bearer(token).Authorization, Host: "globex.example.com"}, 0, WrongHost, withTenant},
		"forged":         {others, bearer(token), 0, BadSignature, Identity{}},
		"cut short":      {own, bearer(token[:strings.LastIndexByte(token, '.')+1]), 0, BadSignature, Identity{}},
		"no token":       {own, Caller{}, 0, Missing, Identity{}},
	} {
		t.Run(name, func(t *testing.T) {
			a := NewAuthenticator(tt.policy, func() time.Time { return c.now().Add(tt.later) })
			_, err := a.Authenticate(tt.caller)
			wantReason(t, err, tt.reason)
			sameIdentity(t, tt.want, BearerOf(err))
		})
	}
}
