// Package provider holds the tests in which an OpenID provider issues the tokens: its keys
// rotate, it is down and comes back. The provider is test/oidc, which is
// github.com/zitadel/oidc.
//
// They need the binaries in bin, so they carry the build tag "integration":
//
//	make build engines senders
//	go test -tags integration ./test/provider/
package provider
