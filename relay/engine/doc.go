// Package engine reaches the Loki and the Tempo that hold the data, wherever
// they run. [Engine] is the seam; [Embedded] runs the real program as a
// supervised child process, [Remote] speaks to one that someone else runs, and
// package enginetest is the suite that both pass.
//
// Invariants:
//
//   - An engine is given the tenant, and believes it. Whoever calls Push or
//     RoundTrip must have verified it, and cleared the header X-Scope-OrgID of
//     whatever came from outside.
//   - Bytes pass through unchanged: a push is neither decoded nor encoded
//     again, an answer neither decompressed nor buffered.
//   - An embedded engine never outlives the daemon, not even when that is
//     killed; and never is reached by other users of the machine through its
//     API, whose sockets are in a directory that is ours alone. The engines'
//     parts speak to each other over TCP on loopback.
//   - Nothing is said to be refused for good (PushError.Permanent) unless the
//     bytes themselves were at fault.
//
// It must not import any other package of ours, and nothing of the engines' own
// code: they are other programs under another license.
package engine
