// Package test holds the checks of the repository itself: which way its
// packages may depend on each other, what the daemon may link, and that the
// Makefile, the Dockerfile and the documents refer to things that exist.
//
// They read files and ask `go list` and `make help`; they import nothing of ours
// and start nothing. Tests that start the built daemon live in the folders below.
package test
