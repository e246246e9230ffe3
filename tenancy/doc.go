// Package tenancy says who a caller is: tenants, scopes, the key that signs tokens, the
// tokens themselves, and whose else are accepted.
//
// An [Authenticator] has a [Policy] in force and turns a [Caller], which is what a
// request shows of who sends it, into an [Identity]. Callers show a JWT (RFC 7519) of an
// [Issuer], an [APIToken], or a client [Certificate]; the host that they ask may narrow
// what that allows. Nothing else a client sends has a say.
//
// Invariants:
//
//   - The tenants of an [Identity] that [Authenticator.Authenticate] returns are names
//     that [ValidTenant] accepts, and there is one, or ReadsAll. One without a Tenant has
//     no scope to write.
//   - A token is judged by its issuer's algorithms and keys, never by what it brings
//     along; a key serves no other algorithm than those of its type.
//   - What could be read in two ways, such as a claim that is there twice, is refused.
//   - A token is never accepted past its time but for the issuer's leeway, nor once it is
//     revoked or its key is gone, remembered or not.
//   - A host and a certificate beside a token take away from what it allows, never add.
//   - What strangers send is bounded in bytes, signatures tried, and memory; it is never
//     kept.
//   - No error, log value or formatted value of this package contains a token, a secret
//     or a private key.
//
// The package knows nothing of HTTP, gRPC or the engines: callers map a [Reason] to a
// status. Where keys come from is for those who implement [KeySet]. It imports no other
// package of this module.
package tenancy
