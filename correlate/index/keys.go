package index

import (
	"encoding/binary"
	"time"
)

// The families of keys. A ref is the id of an invocation's start span, 8 bytes; a
// time is FirstSeen, 6 bytes of milliseconds since 1970. Numbers are big-endian.
const (
	familyRecord  = 'r' // ref → a bucket
	familyAttempt = 's' // span id of an attempt → ref
	// familyOutcome is outcome, time, ref: what a listing by time reads, too.
	familyOutcome = 'O'
	// familyTarget is the target's length and text, outcome, time, ref.
	familyTarget = 'T'
	// familyCallee is a span of the caller, either an attempt's or its ref, and
	// then the callee's ref and origin.
	familyCallee = 'E'
)

const (
	refLen  = len(SpanID{})
	timeLen = 6
	spotLen = timeLen + refLen
)

func recordKey(ref SpanID) []byte { return append([]byte{familyRecord}, ref[:]...) }

func attemptKey(span SpanID) []byte { return append([]byte{familyAttempt}, span[:]...) }

func calleeKey(span, callee SpanID, o Origin) []byte {
	b := make([]byte, 0, 1+2*refLen+1)
	b = append(b, familyCallee)
	b = append(b, span[:]...)
	b = append(b, callee[:]...)
	return append(b, byte(o))
}

// spot is where a record stands in a listing: its time and ref.
type spot [spotLen]byte

func spotOf(r *Record) (s spot) {
	putMillis(s[:], r.FirstSeen)
	ref := startSpan(r.ID)
	copy(s[timeLen:], ref[:])
	return s
}

func putMillis(b []byte, nanos int64) { putTime(b, time.Unix(0, nanos)) }

// putTime also takes times that nanoseconds since 1970 can't tell.
func putTime(b []byte, t time.Time) {
	const most = 1<<(8*timeLen) - 1
	var full [8]byte
	binary.BigEndian.PutUint64(full[:], uint64(min(max(t.UnixMilli(), 0), most)))
	copy(b[:timeLen], full[8-timeLen:])
}

func (s spot) ref() SpanID { return SpanID(s[timeLen:]) }

// outcomePrefix and targetPrefix are what precedes a spot in a key.
func outcomePrefix(o Outcome) []byte { return []byte{familyOutcome, byte(o)} }

func targetPrefix(target string, o Outcome) []byte {
	b := binary.AppendUvarint([]byte{familyTarget}, uint64(len(target)))
	b = append(b, target...)
	return append(b, byte(o))
}

// listKeys are the keys that list a record.
func listKeys(r *Record) [][]byte {
	s := spotOf(r)
	keys := [][]byte{append(outcomePrefix(r.Outcome()), s[:]...)}
	if r.Target != "" {
		keys = append(keys, append(targetPrefix(r.Target, r.Outcome()), s[:]...))
	}
	return keys
}

// callerKeys are the keys under which a record's caller finds it.
func callerKeys(r *Record) [][]byte {
	var keys [][]byte
	ref := startSpan(r.ID)
	if span := r.Cause.Value.Span; span != (SpanID{}) && span != r.Ingress.Value {
		keys = append(keys, calleeKey(span, ref, r.Cause.Value.Origin))
	}
	if r.Caller.Time != 0 {
		keys = append(keys, calleeKey(startSpan(r.Caller.Value), ref, OriginUnknown))
	}
	return keys
}

// timeOf is the time that a spot begins with, in nanoseconds since 1970.
func timeOf(spot []byte) int64 {
	var full [8]byte
	copy(full[8-timeLen:], spot[:timeLen])
	return int64(binary.BigEndian.Uint64(full[:])) * int64(time.Millisecond)
}
