// Package client asks a running Invoscope over its invocation API, as
// relay/invocation describes it. It knows nothing of terminals.
package client
