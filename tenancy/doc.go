// Package tenancy says who a caller is: tenants, scopes, the key that signs
// tokens, and the tokens themselves.
//
// A token is a JWT (RFC 7519) signed with Ed25519. Its "tenant" claim decides
// whose data the bearer sees, its "scope" claim (RFC 8693, section 4.2) what
// the bearer may do there. Nothing else a client sends has a say in either.
//
// Invariants:
//
//   - An [Identity] comes only out of [Verifier.Verify], so its tenant is
//     always a name that [ValidTenant] accepts.
//   - EdDSA is the only algorithm, and the key is chosen by us, never by the
//     token.
//   - No error, log value or formatted value of this package contains a token
//     or a private key.
//
// The package knows nothing of HTTP, gRPC or the engines: callers map a
// [Reason] to a status. It imports no other package of this module.
package tenancy
