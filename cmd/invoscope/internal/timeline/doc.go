// Package timeline tells the story of an invocation to people, in a terminal: a tree
// of its attempts, of the waits between them, of its spans and log lines, in the
// order of time.
//
// Events come from the invocation API and hold what strangers wrote. Nothing of it
// reaches the terminal but printable text: colours are taken out and other control
// characters spelt, see [Clean].
//
// The package is pure: events in, text out. It does no network and reads no clock.
package timeline
