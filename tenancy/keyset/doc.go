// Package keyset says where the keys are that verify tokens: a PEM file, a file with a
// secret, a JSON Web Key Set (RFC 7517) in a file or at a URL, or OpenID Connect
// Discovery. A [Set] is a [tenancy.KeySet].
//
// Invariants:
//
//   - Who sends tokens chooses their "kid" freely. It is only ever compared with the
//     keys' own: it names no file and no URL, and however many a stranger makes up, the
//     provider is asked because of them at most once in 30 seconds, and at most 64
//     requests wait for that, for at most two seconds.
//   - What a provider answers is bounded in bytes, keys and time. An answer without a
//     usable key changes nothing: the last good set stays in force, for as long as the
//     provider is down. A key that a good answer leaves out is no longer accepted.
//   - Keys come over https, or from this host itself. https never becomes http.
//   - A key is for signatures, and of a kind and size that [tenancy] verifies. Secrets
//     and private keys are never taken from a URL.
//   - No more than [tenancy.MaxKeys] keys match one "kid", since each costs a signature.
//   - No error and no log line holds a secret, a private key, or the query of a URL.
//
// All fetching is done by [Set.Run], in its own goroutine, one fetch at a time. The
// package imports nothing of this module but tenancy.
package keyset
