// Package store keeps what a data directory knows of tokens: the keys that sign them,
// the tokens that were issued, and those that were revoked.
//
//	keys/signing.pem         the key that signs: PKCS#8 in PEM
//	keys/retired/<kid>.pem   the public half of one that did, and until when it is accepted
//	tokens/<id>.json         a token that was issued; of an opaque one, its hash
//	revocations.json         the tokens that are no longer accepted
//	tenancy.lock             held while one of them is changed
//
// Invariants:
//
//   - The command line and a daemon may use a directory at the same time. Who changes
//     something that another may change holds the lock; who reads needs none, because
//     files are replaced whole.
//   - At no moment, and after no crash, is there no signing key where there was one, or
//     is a key gone before the date until which its tokens were promised to be good.
//   - No token is kept, and no secret but the signing key. No error has a part of one.
//   - What can't be understood is an error that names the file, never skipped: a
//     revocation that is overlooked is a token that works again.
//
// The package decides nothing about a request: a [tenancy.Authenticator] does, by what
// is kept here. It imports tenancy and no other package of this module.
package store
