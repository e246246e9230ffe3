// Package correlate reads out of one log line which Restate invocations it is
// about, and when it was written.
//
// It knows the formats in which Restate and its SDKs write: the server's json,
// compact and pretty formats, and the console lines of the SDKs for TypeScript and
// Java. A record that another program wrapped is found too: as a string inside a
// JSON object (Docker's json-file driver), or behind a text prefix (kubectl,
// compose, CRI).
//
// Invariants:
//   - A line is never changed, and no input makes the package panic, recurse or
//     take more than linear time.
//   - An id is only taken when it decodes; see [ParseInvocationID].
//   - Nothing is allocated for the lines that Restate itself writes. What is
//     returned are substrings of the line, so they keep the line in memory.
//
// The package imports nothing of ours.
package correlate
