// Package ship reads log lines and pushes them to Invoscope's Loki push
// endpoint, at least once and in order.
//
// A source reads lines and adds them to a queue: standard input ([Run] ends
// with it), or files that are followed as tail -F does. The queue makes batches
// of them, and one goroutine pushes the batches one after the other, again and
// again until the relay acknowledges each.
//
// Invariants:
//   - A line's bytes are never changed; only its line ending (LF or CRLF) is
//     taken off. A line of more than 256 KiB, Loki's own limit, is sent as
//     several entries, cut between characters.
//   - Lines of one source are acknowledged in the order they were read.
//   - A checkpoint never passes a line that isn't settled, which means
//     acknowledged, or refused by the relay as bad and reported.
//   - At most two batches are in memory, however long the relay is away.
//
// Files: rotation by rename and by copy-and-truncate is followed. A file is
// known by its first 1000 bytes, so files that begin alike for that long are
// taken for one. While the relay is away nothing new is read, so a pattern
// should match rotated files too (restate.log*): what was renamed meanwhile is
// then found again. Compressed files are left out. The last line of a file
// waits for its newline for 5 s and is then sent as it is; the rest becomes an
// entry of its own. Checkpoints are saved whenever all files are read to their
// end; a ship that is killed before that sends again what it sent since, and
// Loki drops entries that are equal in time and text.
//
// The package must not import the relay, the engines or the daemon's wiring:
// it talks to them over HTTP like any other shipper.
package ship
