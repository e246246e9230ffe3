package tenancy

import (
	"encoding/base64"
	"strings"
)

const (
	// maxToken is the longest token looked at, in bytes. Ours are some 500; those of
	// identity providers that name a person's groups can take ten kilobytes.
	maxToken = 16 << 10

	// maxAuthorization is the longest Authorization value looked at, in bytes: a
	// token of maxToken in base64, with room for a scheme and a user name.
	maxAuthorization = 24 << 10
)

// TokenFromAuthorization returns the token in the values of a request's
// Authorization header, or of its "authorization" gRPC metadata. Every error
// is an [*Error].
//
// There must be exactly one value, either "Bearer <token>" (RFC 6750) or
// "Basic base64(<user>:<token>)" (RFC 7617) for clients that only know
// passwords; the user is ignored. The scheme's case doesn't matter. Several
// values are refused: programs along the way might not agree on which counts.
//
// The token is not verified, see [Authenticator.Authenticate].
func TokenFromAuthorization(values []string) (string, error) {
	token, err := tokenIn(values)
	if err == nil {
		err = oneToken(token)
	}
	if err != nil {
		return "", err
	}
	return token, nil
}

// tokenIn is [TokenFromAuthorization] without the check that what it returns can be one
// token: a token that is known passes it, and it takes longer than to know a token.
func tokenIn(values []string) (string, error) {
	switch {
	case len(values) == 0:
		return "", &Error{Reason: Missing}
	case len(values) > 1:
		return "", malformed("more than one Authorization")
	case len(values[0]) > maxAuthorization:
		return "", malformed("Authorization longer than 24 KiB")
	}
	value := strings.Trim(values[0], " \t")
	if value == "" {
		return "", &Error{Reason: Missing}
	}
	scheme, credential, _ := strings.Cut(value, " ")
	credential = strings.TrimLeft(credential, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return someToken(credential)
	case strings.EqualFold(scheme, "Basic"):
		return basicPassword(credential)
	}
	return "", malformed("scheme is neither Bearer nor Basic")
}

func basicPassword(credential string) (string, error) {
	decoded, err := base64.StdEncoding.DecodeString(credential)
	if err != nil {
		return "", malformed("Basic value is not base64")
	}
	_, password, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", malformed("Basic value has no password")
	}
	return someToken(password)
}

func someToken(credential string) (string, error) {
	if credential == "" {
		return "", &Error{Reason: Missing}
	}
	return credential, nil
}

// oneToken refuses what can't be one token, such as the two values that a proxy joined
// with a comma.
func oneToken(token string) error {
	if strings.ContainsFunc(token, notTokenRune) {
		return malformed("not one token")
	}
	return nil
}

// notTokenRune is a little wider than RFC 6750's b64token: printable ASCII
// without blanks, commas, semicolons, quotes and backslashes.
func notTokenRune(r rune) bool {
	switch r {
	case ',', ';', '"', '\\':
		return true
	}
	return r <= ' ' || r > '~'
}

// UnverifiedTenant returns the tenant that token claims, or "" when it can't
// be read. Nobody checked the claim: use it to name things for the holder of
// the token, never to decide what a request may see.
func UnverifiedTenant(token string) string {
	t, err := parseToken(token)
	if err != nil {
		return ""
	}
	name, err := text(t.claims, "tenant", maxTenant)
	if err != nil || ValidTenant(name) != nil {
		return ""
	}
	return name
}
