// Package rebuild fills the invocation index from the traces that Tempo has. What
// only log lines tell, such as that an invocation is paused, it can't bring back.
//
// It doesn't import relay.
package rebuild
