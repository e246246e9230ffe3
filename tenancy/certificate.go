package tenancy

import (
	"crypto/x509"
	"fmt"
	"time"
)

// certificateIssuer is the [Identity.Issuer] of those known by a client certificate.
const certificateIssuer = "certificate"

// verifyCertificate returns whom a client certificate stands for, or nil for nobody. The
// handshake has verified it; a connection may outlive it.
func (s *snapshot) verifyCertificate(c *x509.Certificate, now time.Time) (*verified, error) {
	if c == nil || len(s.certificates) == 0 || hiddenName(c) {
		return nil, nil
	}
	subject := c.Subject.String()
	known, ok := s.certificates[subject]
	if !ok {
		return nil, nil
	}
	v := &verified{
		id: Identity{
			Issuer: certificateIssuer, Tenant: known.Tenant, Subject: subject, TokenID: c.SerialNumber.Text(16),
			Scopes: known.Scopes, Issued: c.NotBefore, Expires: c.NotAfter,
		},
		until: c.NotAfter,
	}
	switch err := v.id.valid(); {
	case err != nil:
		return nil, &Error{Reason: BadTenant, cause: err}
	case v.ended(now):
		return nil, &Error{Reason: Expired}
	case now.Before(c.NotBefore):
		return nil, &Error{Reason: NotYetValid}
	case s.revocations.revoked(&v.id):
		return nil, &Error{Reason: Revoked}
	}
	return v, nil
}

// nobody is for who shows no token, and at most a certificate that stands for nobody. To
// whoever reads the audit log it says what the policy would have to name.
func nobody(c *x509.Certificate) *Error {
	if c == nil {
		return &Error{Reason: Missing}
	}
	if hiddenName(c) {
		return refused(Missing, "no token, and a client certificate with a name that is not looked at")
	}
	subject := c.Subject.String()
	return refused(Missing, fmt.Sprintf("no token, and the client certificate %q stands for no tenant", subject[:min(len(subject), maxSubject)]))
}

// hiddenName reports whether [crypto/x509/pkix.Name.String] leaves a part of the subject out, such
// as all common names but the last. Whoever may add names to a subject must not become
// somebody by it.
func hiddenName(c *x509.Certificate) bool {
	written := 0
	for _, set := range c.Subject.ToRDNSequence() {
		written += len(set)
	}
	for _, name := range c.Subject.Names {
		if t := name.Type; len(t) == 4 && t[0] == 2 && t[1] == 5 && t[2] == 4 && namedField(t[3]) {
			written--
		}
	}
	return written != 0
}

// namedField reports whether an attribute 2.5.4.x has a field of its own in [crypto/x509/pkix.Name],
// from which String writes it; it writes others as they are.
func namedField(x int) bool {
	switch x {
	case 3, 5, 6, 7, 8, 9, 10, 11, 17:
		return true
	}
	return false
}
