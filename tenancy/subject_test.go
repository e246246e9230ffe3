package tenancy

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
)

// What a certificate can be looked up by is a good subject.
func TestSubjectsOfCertificatesAreValid(t *testing.T) {
	for _, name := range []pkix.Name{
		{CommonName: "shipper"},
		{CommonName: "shipper", Organization: []string{"Acme, Inc."}},
		{CommonName: `a+b=c\d"`, Organization: []string{"A", "B"}, OrganizationalUnit: []string{"#1"}},
		{Country: []string{"DE"}, Locality: []string{"Köln"}, Province: []string{"NW"}, PostalCode: []string{"50667"}, StreetAddress: []string{"1 <x>;"}, SerialNumber: "7"},
		{CommonName: "a", ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: "uid"}}},
		{CommonName: "a", ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "a@example.com"}}},
	} {
		if err := validSubject(name.String()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSubjectsThatNoCertificateHas(t *testing.T) {
	for subject, want := range map[string]string{
		"":                     "is empty",
		"shipper":              `"shipper" is no certificate's subject (want such as CN=shipper,O=Acme)`,
		"CN=a,,O":              `"CN=a,,O" is no certificate's subject (want such as CN=shipper,O=Acme)`,
		"/O=Acme/CN=shipper":   `"/O=Acme/CN=shipper" is no certificate's subject (want such as CN=shipper,O=Acme)`,
		"O=Acme,CN=shipper":    `"O=Acme,CN=shipper" is written otherwise: CN=shipper,O=Acme`,
		"O = Acme, CN = a":     `"O = Acme, CN = a" is written otherwise: CN=a,O=Acme`,
		"cn=shipper,o=Acme":    `"cn=shipper,o=Acme" is written otherwise: CN=shipper,O=Acme`,
		`CN=a\,b;c,O="x"`:      `"CN=a\\,b;c,O=\"x\"" is written otherwise: CN=a\,b\;c,O=\"x\"`,
		`CN=trailing\`:         `"CN=trailing\\" is written otherwise: CN=trailing\\`,
		"CN=shipper, O=Ac\\+e": `"CN=shipper, O=Ac\\+e" is written otherwise: CN=shipper,O=Ac\+e`,
	} {
		if err := validSubject(subject); err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", subject, err, want)
		}
	}
}
