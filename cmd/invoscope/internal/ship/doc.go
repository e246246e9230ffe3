// Package ship reads log lines and pushes them to Invoscope's Loki push
// endpoint, at least once and in order.
//
// Files that are followed as tail -F does, a journal, or standard input ([Run]
// ends with it) bring tokens; an unwrapper makes lines of them and takes off what
// Docker, Kubernetes or journald put around them; a joiner makes one entry of all the
// lines of a record; a batcher makes batches of the entries; a buffer on disk takes the
// batches, and one goroutine pushes what is in it, again and again until the relay
// acknowledges each.
//
// Invariants:
//   - A line's bytes are never changed; only its line ending (LF or CRLF) and its
//     wrapping are taken off. Lines of a record are joined by LF. A line of more than
//     256 KiB, Loki's own limit, is sent as several entries, cut between characters.
//   - Entries of one source are acknowledged in the order in which they were complete,
//     through restarts.
//   - A checkpoint, of files or of the journal, never passes a line that isn't in
//     the buffer, and none that is only in part. What is in the buffer leaves it
//     when the relay acknowledged it, or refused it as bad and it was reported.
//   - What is in memory is bounded, however long the relay is away: eight batches, and
//     one entry of each file or stream to which further lines may come.
//   - An id is never a label.
//
// While the relay is away reading goes on until the buffer is full, and then
// waits. A batch is in the buffer once it is synced to disk; a ship that is killed
// before that reads it again from files or the journal, while what came through a
// pipe within the last moments (see maxBatchAge and DefaultMultilineWait) is gone with
// the pipe.
//
// Files: rotation by rename and by copy-and-truncate is followed. A file is
// known by its first 1000 bytes, so files that begin alike for that long are
// taken for one. A pattern should match rotated files too (restate.log*): what
// was renamed while ship wasn't running or the buffer was full is then found
// again. Compressed files are left out. The last line of a file waits for its
// newline, and a record for its last part, for 5 s and is then sent as it is; the
// rest becomes an entry of its own. Checkpoints are saved whenever all files are
// read to their end; a ship that is killed before that sends again what it sent
// since, and Loki drops entries that are equal in time and text.
//
// What waits for further lines stays behind the checkpoint of its file, and behind the
// cursor of the journal, so that a record of which a killed ship had sent nothing is
// read again whole. A record doesn't go on in the next file after a rotation.
//
// The package must not import the daemon's wiring nor of the relay anything but
// its queue: it talks to the relay over HTTP like any other shipper.
package ship
