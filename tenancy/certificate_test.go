package tenancy

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

// certificateOf returns a certificate as a handshake gives it.
func certificateOf(tb testing.TB, subject pkix.Name, from time.Time) *x509.Certificate {
	tb.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(0xABCD), Subject: subject, NotBefore: from, NotAfter: from.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestCertificates(t *testing.T) {
	key, c := openTestKey(t), newClock()
	commonName := func(name string) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: name}
	}
	shipper := certificateOf(t, pkix.Name{CommonName: "shipper", Organization: []string{"Acme, Inc."}}, c.now())
	stranger := certificateOf(t, pkix.Name{CommonName: "stranger"}, c.now())
	nameless := certificateOf(t, pkix.Name{}, c.now())
	// Both are written as CN=shipper,O=Acme\, Inc. by pkix.Name.String.
	hidden := certificateOf(t, pkix.Name{Organization: []string{"Acme, Inc."}, ExtraNames: []pkix.AttributeTypeAndValue{commonName("evil"), commonName("shipper")}}, c.now())
	early := certificateOf(t, shipper.Subject, c.now().Add(time.Minute))
	late := certificateOf(t, shipper.Subject, c.now().Add(-time.Hour))
	if got := shipper.Subject.String(); got != `CN=shipper,O=Acme\, Inc.` || hidden.Subject.String() != got {
		t.Fatalf("the subjects are %s and %s", got, hidden.Subject)
	}

	policy := Policy{
		Issuers: []Issuer{Own(key.Keys())}, HostSuffix: testSuffix,
		Certificates: []Certificate{
			{Subject: `CN=shipper,O=Acme\, Inc.`, Tenant: "acme", Scopes: []Scope{LogsWrite}},
			{Subject: "", Tenant: "victim", Scopes: []Scope{LogsRead}},
		},
	}
	byCertificate := Identity{
		Issuer: "certificate", Tenant: "acme", Subject: `CN=shipper,O=Acme\, Inc.`, TokenID: "abcd", Scopes: []Scope{LogsWrite},
		Issued: shipper.NotBefore, Expires: shipper.NotAfter,
	}
	token := func(g Grant) []string { return bearer(issue(t, key, c.now, g)).Authorization }
	tests := map[string]struct {
		caller Caller
		revoke Revocation
		want   Identity
		reason Reason
	}{
		"alone":                   {Caller{Certificate: shipper}, Revocation{}, byCertificate, ""},
		"own host":                {Caller{Certificate: shipper, Host: "acme.dev.example.com"}, Revocation{}, byCertificate, ""},
		"other host":              {Caller{Certificate: shipper, Host: "b.dev.example.com"}, Revocation{}, Identity{}, WrongHost},
		"blank Authorization":     {Caller{Certificate: shipper, Authorization: []string{""}}, Revocation{}, Identity{}, Missing},
		"bad token":               {Caller{Certificate: shipper, Authorization: []string{"Bearer x"}}, Revocation{}, Identity{}, Malformed},
		"stranger alone":          {Caller{Certificate: stranger}, Revocation{}, Identity{}, Missing},
		"no name":                 {Caller{Certificate: nameless}, Revocation{}, Identity{}, Missing},
		"hidden name":             {Caller{Certificate: hidden}, Revocation{}, Identity{}, Missing},
		"not yet valid":           {Caller{Certificate: early}, Revocation{}, Identity{}, NotYetValid},
		"expired":                 {Caller{Certificate: late}, Revocation{}, Identity{}, Expired},
		"expired, and a token":    {Caller{Certificate: late, Authorization: token(Grant{Tenant: "acme"})}, Revocation{}, Identity{}, Expired},
		"revoked by number":       {Caller{Certificate: shipper}, Revocation{TokenID: "abcd"}, Identity{}, Revoked},
		"revoked by subject":      {Caller{Certificate: shipper}, Revocation{Subject: `CN=shipper,O=Acme\, Inc.`}, Identity{}, Revoked},
		"revoked, and a token":    {Caller{Certificate: shipper, Authorization: token(Grant{Tenant: "acme"})}, Revocation{TokenID: "abcd"}, Identity{}, Revoked},
		"another revoked":         {Caller{Certificate: shipper}, Revocation{TokenID: "abcd", Tenant: "b"}, byCertificate, ""},
		"its tenant's token":      {Caller{Certificate: shipper, Authorization: token(Grant{Tenant: "acme"})}, Revocation{}, Identity{Tenant: "acme", Scopes: []Scope{LogsRead}}, ""},
		"another's token":         {Caller{Certificate: shipper, Authorization: token(Grant{Tenant: "b"})}, Revocation{}, Identity{}, WrongCertificate},
		"another case":            {Caller{Certificate: shipper, Authorization: token(Grant{Tenant: "ACME"})}, Revocation{}, Identity{}, WrongCertificate},
		"token of several":        {Caller{Certificate: shipper, Authorization: token(Grant{Tenant: "b", Tenants: []string{"acme"}, Scopes: []Scope{LogsRead, LogsWrite}})}, Revocation{}, Identity{Reads: []string{"acme"}, Scopes: []Scope{LogsRead}}, ""},
		"token of all":            {Caller{Certificate: shipper, Authorization: token(Grant{Tenants: []string{"*"}})}, Revocation{}, Identity{Reads: []string{"acme"}, Scopes: []Scope{LogsRead}}, ""},
		"of several, other host":  {Caller{Certificate: shipper, Host: "b.dev.example.com", Authorization: token(Grant{Tenants: []string{"acme", "b"}})}, Revocation{}, Identity{}, WrongHost},
		"stranger's, and a token": {Caller{Certificate: stranger, Authorization: token(Grant{Tenant: "b"})}, Revocation{}, Identity{Tenant: "b", Scopes: []Scope{LogsRead}}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := policy
			p.Revocations = []Revocation{tt.revoke}
			id, err := NewAuthenticator(p, c.now).Authenticate(tt.caller)
			wantReason(t, err, tt.reason)
			if id.Issuer == issuerName {
				id.Issuer, id.TokenID, id.Issued, id.Expires = "", "", time.Time{}, time.Time{}
			}
			sameIdentity(t, tt.want, id)
		})
	}

	// Who sets certificates up is told what to name.
	_, err := NewAuthenticator(policy, c.now).Authenticate(Caller{Certificate: stranger})
	if want := `credential refused: missing: no token, and the client certificate "CN=stranger" stands for no tenant`; err == nil || err.Error() != want {
		t.Errorf("of a stranger: %v", err)
	}

	policy.Certificates = append(policy.Certificates, policy.Certificates[0])
	_, err = NewAuthenticator(policy, c.now).Authenticate(Caller{Certificate: shipper})
	wantReason(t, err, BadTenant)
}
