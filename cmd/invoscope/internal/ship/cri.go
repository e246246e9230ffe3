package ship

import (
	"bytes"
	"time"
)

// A line of the Kubernetes container runtime interface, as the kubelet reads it
// (pkg/kubelet/kuberuntime/logs): an RFC 3339 time with nanoseconds, stdout or
// stderr, tags separated by colons of which the first is P (partial: the line
// goes on in the next one of this stream) or F (full), and what was written.
//
//	2016-10-06T00:17:09.669794202Z stdout F log content

// minCRI is the length of the shortest: a time in whole seconds, and nothing
// written.
const minCRI = len("2016-10-06T00:17:09Z stdout F")

// maxCRITime is the length of the longest time, one with an offset.
const maxCRITime = len("2016-10-06T00:17:09.669794202+02:00")

// isCRI reports whether a line begins as the runtime interface wants it.
func isCRI(line []byte) bool {
	_, rest, ok := criTime(line)
	return ok && (bytes.HasPrefix(rest, []byte("stdout ")) || bytes.HasPrefix(rest, []byte("stderr "))) &&
		len(rest) > 7 && (rest[7] == 'P' || rest[7] == 'F') &&
		(len(rest) == 8 || rest[8] == ' ' || rest[8] == ':' || rest[8] == '\n')
}

// criTime cuts the time off a line.
func criTime(line []byte) (at, rest []byte, ok bool) {
	if len(line) < minCRI || line[4] != '-' || line[10] != 'T' {
		return nil, nil, false
	}
	n := bytes.IndexByte(line[:min(len(line), maxCRITime+1)], ' ')
	if n < 0 {
		return nil, nil, false
	}
	return line[:n], line[n+1:], true
}

// criPart tells of a line for which isCRI holds to which stream it belongs, and
// whether it goes on.
func criPart(line []byte) (stderr, partial bool) {
	_, rest, _ := criTime(line)
	return rest[3] == 'e', rest[7] == 'P'
}

// parseCRI returns what was written, and when, of a line for which isCRI holds.
func parseCRI(line []byte) (text []byte, at time.Time) {
	stamp, rest, _ := criTime(line)
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		at = time.Time{} // the line before tells
	}
	_, text, _ = bytes.Cut(rest[7:], []byte{' '})
	return text, at
}
