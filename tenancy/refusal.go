package tenancy

import (
	"errors"

	"github.com/golang-jwt/jwt/v5"
)

// Reason says why a credential was refused. It is for our logs and metrics:
// the values are few and fixed. A client learns only that it was refused.
type Reason string

// The reasons for which a credential is refused.
const (
	Missing       Reason = "missing"        // no credential at all
	Malformed     Reason = "malformed"      // not a token, or one without a required claim
	Expired       Reason = "expired"        // "exp" has passed
	NotYetValid   Reason = "not yet valid"  // "nbf" or "iat" is to come
	WrongIssuer   Reason = "wrong issuer"   // "iss" is nobody's whom we accept
	WrongAudience Reason = "wrong audience" // "aud" is not us
	BadSignature  Reason = "bad signature"  // forged, of another algorithm, or of a key or secret that isn't known
	BadTenant     Reason = "bad tenant"     // properly signed, for a tenant that can't exist
	Revoked       Reason = "revoked"        // taken back, or no longer for what it was held for
	WrongHost     Reason = "wrong host"     // of a tenant whose host this isn't

	// WrongCertificate is a token of a tenant other than the client certificate's.
	WrongCertificate Reason = "wrong certificate"
)

// Error is a refused credential. Its text contains no part of the credential's
// secret and is meant for logs, not for the client.
type Error struct {
	Reason Reason
	// Bearer is whose credential it is, as far as that is vouched for by a signature or
	// a secret that is right: Issuer, Subject and TokenID, and the tenants if it came to
	// them. It allows nothing, and is for the audit log.
	Bearer Identity
	cause  error
}

func (e *Error) Error() string {
	if e.cause == nil {
		return "credential refused: " + string(e.Reason)
	}
	return "credential refused: " + string(e.Reason) + ": " + e.cause.Error()
}

// Unwrap returns what was found wrong, or nil when the reason says it all.
func (e *Error) Unwrap() error { return e.cause }

// ReasonOf returns the reason of the [Error] in err's chain, or "" when there is none.
func ReasonOf(err error) Reason {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return ""
}

// BearerOf returns whose credential the [Error] in err's chain has refused, or the zero
// Identity when nothing vouches for that.
func BearerOf(err error) Identity {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Bearer
	}
	return Identity{}
}

// of returns the refusal err, of id's credential.
func of(id *Identity, err error) error {
	var e *Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	bearer := Identity{Issuer: id.Issuer, Tenant: id.Tenant, Reads: id.Reads, ReadsAll: id.ReadsAll, Subject: id.Subject, TokenID: id.TokenID}
	return &Error{Reason: e.Reason, Bearer: bearer, cause: e.cause}
}

func refused(reason Reason, cause string) *Error {
	return &Error{Reason: reason, cause: errors.New(cause)}
}

func malformed(cause string) *Error { return refused(Malformed, cause) }

// claimsError finds the reason in what the validator of claims reports. It may report
// several; the one that says most about the token's origin wins.
func claimsError(err error) *Error {
	reason := Malformed
	switch {
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		reason = WrongAudience
	case errors.Is(err, jwt.ErrTokenExpired):
		reason = Expired
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		reason = NotYetValid
	}
	return &Error{Reason: reason, cause: err}
}
