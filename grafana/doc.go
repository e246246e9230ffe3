// Package grafana generates the Grafana provisioning that makes the logs and
// traces of one tenant cross-link.
//
// It is pure: options in, bytes out. It reads no file, no environment and no
// clock, and the same options give the same bytes.
//
// Invariants:
//
//   - The derived field and the trace-to-logs query reach Grafana exactly as
//     the users of the managed service know them, byte for byte. Grafana
//     expands variables in provisioning files, so every value is written as a
//     [literal], which escapes it; the one reference that Grafana shall expand
//     is the token's.
//   - Only keys that Grafana knows are written: it ignores others silently.
//
// The package imports no other package of this module.
package grafana
