package tenancy

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

func TestAPITokens(t *testing.T) {
	c := newClock()
	const token = "inv_tok_id1_secret"
	identity := Identity{Issuer: "invoscope", Tenant: "acme", Subject: "ci", TokenID: "id1", Scopes: []Scope{LogsRead}, Issued: c.now(), Expires: c.now().Add(time.Hour)}
	entry := func(change func(*APIToken)) map[string]APIToken {
		e := APIToken{Hash: sha256.Sum256([]byte(token)), Identity: identity}
		change(&e)
		return map[string]APIToken{"id1": e}
	}
	asIs := entry(func(*APIToken) {})
	tests := map[string]struct {
		token  string
		tokens map[string]APIToken
		revoke Revocation
		want   Reason
	}{
		"good":               {token, asIs, Revocation{}, ""},
		"good, for ever":     {token, entry(func(e *APIToken) { e.Identity.Expires = time.Time{} }), Revocation{}, ""},
		"no tokens":          {token, nil, Revocation{}, BadSignature},
		"unknown id":         {"inv_tok_id2_secret", asIs, Revocation{}, BadSignature},
		"wrong secret":       {"inv_tok_id1_secreT", asIs, Revocation{}, BadSignature},
		"no secret":          {"inv_tok_id1_", asIs, Revocation{}, BadSignature},
		"id alone":           {"inv_tok_id1", asIs, Revocation{}, BadSignature},
		"prefix alone":       {"inv_tok_", asIs, Revocation{}, BadSignature},
		"more":               {token + "x", asIs, Revocation{}, BadSignature},
		"prefix in capitals": {"INV_TOK_id1_secret", asIs, Revocation{}, Malformed},
		"too long":           {token + strings.Repeat("x", 17<<10), asIs, Revocation{}, Malformed},
		"no hash":            {"inv_tok_id1_secret", map[string]APIToken{"id1": {Identity: identity}}, Revocation{}, BadSignature},
		"expired":            {token, entry(func(e *APIToken) { e.Identity.Expires = c.now() }), Revocation{}, Expired},
		"expired, wrong":     {token + "x", entry(func(e *APIToken) { e.Identity.Expires = c.now() }), Revocation{}, BadSignature},
		"no tenant":          {token, entry(func(e *APIToken) { e.Identity.Tenant = "" }), Revocation{}, BadTenant},
		"bad tenant":         {token, entry(func(e *APIToken) { e.Identity.Tenant = "a|b" }), Revocation{}, BadTenant},
		"revoked":            {token, asIs, Revocation{TokenID: "id1"}, Revoked},
		"subject revoked":    {token, asIs, Revocation{Subject: "ci"}, Revoked},
		"another revoked":    {token, asIs, Revocation{TokenID: "id2"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := NewAuthenticator(Policy{APITokens: tt.tokens, Revocations: []Revocation{tt.revoke}}, c.now)
			for _, value := range []string{"Bearer " + tt.token, "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+tt.token))} {
				id, err := a.Authenticate(Caller{Authorization: []string{value}})
				wantReason(t, err, tt.want)
				if err == nil {
					want := tt.tokens["id1"].Identity
					sameIdentity(t, want, id)
				} else if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error holds the secret: %v", err)
				}
			}
		})
	}
	// Nobody may learn which ids there are.
	a := NewAuthenticator(Policy{APITokens: asIs}, c.now)
	_, unknown := a.Authenticate(bearer("inv_tok_id2_secret"))
	_, wrong := a.Authenticate(bearer("inv_tok_id1_other"))
	if unknown.Error() != wrong.Error() {
		t.Errorf("%q for an unknown id, %q for a wrong secret", unknown, wrong)
	}
	// A token of several tenants without one of its own can't write.
	reader := entry(func(e *APIToken) {
		e.Identity.Tenant, e.Identity.Reads, e.Identity.Scopes = "", []string{"a", "b"}, Scopes()
	})
	id, err := NewAuthenticator(Policy{APITokens: reader}, c.now).Authenticate(bearer(token))
	if err != nil || id.Allows(LogsWrite) || id.Allows(TracesWrite) || !id.Allows(Admin) || len(reader["id1"].Identity.Scopes) != len(Scopes()) {
		t.Errorf("%+v, %v", id, err)
	}
}
