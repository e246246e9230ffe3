// Package audit writes one line of JSON for each request: who asked for what, and
// what became of it (docs/adr/0027-audit-log.md).
//
// Invariants:
//
//   - A line holds no token: what strangers wrote goes through tenancy/redact.
//   - A line is one write(2), and ends with the only newline in it. What strangers
//     wrote is bounded, and can't control a terminal.
//   - No request fails because its line can't be written.
//   - Requests without an identity can't push out those with one: their lines are few
//     each second, and those that are left out are counted.
//
// It knows nothing of HTTP or gRPC beyond their names. It may import tenancy and
// tenancy/redact, and nothing else of ours.
package audit
