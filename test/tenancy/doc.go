// Package tenancy is a test of who may see and send what, with the built daemon, its
// real engines, its commands and logcli: over TLS, with tokens, certificates and hosts,
// while keys, certificates and limits change under it. `make test` runs it.
package tenancy
