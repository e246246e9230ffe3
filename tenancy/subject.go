package tenancy

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
)

// subjectTypes are the attributes that [crypto/x509/pkix.Name.String] writes by name.
var subjectTypes = map[string]int{
	"CN": 3, "SERIALNUMBER": 5, "C": 6, "L": 7, "ST": 8, "STREET": 9, "O": 10, "OU": 11, "POSTALCODE": 17,
}

// validSubject returns an error for a subject that [crypto/x509/pkix.Name.String] writes
// otherwise, so that no certificate would ever have it: openssl, for one, writes the
// attributes in another order and with spaces. Those with attributes that have no name
// there are taken as they are.
func validSubject(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	var all pkix.RDNSequence
	for _, part := range splitUnescaped(s, ',') {
		var set pkix.RelativeDistinguishedNameSET
		for _, one := range splitUnescaped(part, '+') {
			name, value, ok := strings.Cut(one, "=")
			name = strings.ToUpper(strings.TrimSpace(name))
			if strings.Trim(name, "0123456789.") == "" && strings.Contains(name, ".") {
				return nil
			}
			kind, known := subjectTypes[name]
			if !ok || !known {
				return fmt.Errorf("%q is no certificate's subject (want such as CN=shipper,O=Acme)", shorten(s))
			}
			set = append(set, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, kind}, Value: unescape(strings.TrimSpace(value))})
		}
		all = append(pkix.RDNSequence{set}, all...)
	}
	var written pkix.Name
	written.FillFromRDNSequence(&all)
	if want := written.String(); want != s {
		return fmt.Errorf("%q is written otherwise: %s", shorten(s), want)
	}
	return nil
}

// splitUnescaped splits s at each sep that no backslash stands before.
func splitUnescaped(s string, sep byte) []string {
	var parts []string
	begin := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			parts = append(parts, s[begin:i])
			begin = i + 1
		}
	}
	return append(parts, s[begin:])
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
