// Package invocation is the invocation API: what is known of an invocation, its
// spans and log lines in one timeline, and links to them in Grafana. It is
// described in openapi.yaml.
//
// It reads the index and the two engines, always as the tenant it is told. It
// doesn't import relay.
package invocation
