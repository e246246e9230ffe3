// Package redact takes secrets out of text that is about to be written to a log.
//
// It looks at the text as it is written, not at the values it was made of: so it
// makes no difference whether a token stood in a message, an attribute, an error
// within an error or a line of an engine's own log. It is the last of several
// guards, not the only one: no code of ours means to log a token.
//
// It knows what credentials look like, and what names they are given. It can't know
// a secret that looks like any other word and has no name beside it.
//
// The package imports nothing of ours.
package redact
