package index

import (
	"encoding/binary"
	"errors"

	"github.com/invoscope/invoscope/correlate"
)

// A bucket is the value under a start span's id: the records of the invocations
// that have it, which is one unless two UUIDs end in the same eight bytes. Each is
// the rest of its id, the length of what follows, and fields in the order of
// appendRecord, after a mask that says which are there. Times are differences to the
// one before them, in zigzag varints.
const (
	hasTarget = 1 << iota
	targetSure
	moreTraces
	hasAttempts
	moreAttempts
	hasStarted
	hasEnded
	hasResult
	hasCompleted
	hasState
	hasFailure
	hasErrorCode
	hasDeployment
	hasIngress
	hasCause
	ingressIsCause // the same span: it stands once
	hasCaller
	hasRequested
	hasBegun
	hasFreed
)

var errCorrupt = errors.New("a record in the index can't be read")

// writeBucket encodes the records of a bucket.
func writeBucket(records []Record) []byte {
	var b []byte
	for i := range records {
		id := rest(records[i].ID)
		b = append(b, id[:]...)
		body := appendRecord(nil, &records[i])
		b = binary.AppendUvarint(b, uint64(len(body)))
		b = append(b, body...)
	}
	return b
}

// readBucket reads what writeBucket wrote under a start span's id.
func readBucket(start SpanID, b []byte) ([]Record, error) {
	var records []Record
	for len(b) > 0 {
		if len(b) < restLen {
			return nil, errCorrupt
		}
		id := idOf(start, [restLen]byte(b[:restLen]))
		b = b[restLen:]
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, errCorrupt
		}
		r, err := readRecord(id, b[size:size+int(n)])
		if err != nil {
			return nil, err
		}
		records = append(records, r)
		b = b[size+int(n):]
	}
	return records, nil
}

func (r *Record) mask() (m uint64) {
	for _, f := range []struct {
		bit uint64
		set bool
	}{
		{hasTarget, r.Target != ""},
		{targetSure, r.TargetSure},
		{moreTraces, r.MoreTraces},
		{hasAttempts, len(r.Attempts) > 0},
		{moreAttempts, r.MoreAttempts},
		{hasStarted, r.Started != 0},
		{hasEnded, r.Ended != At[Outcome]{}},
		{hasResult, r.Result != At[Outcome]{}},
		{hasCompleted, r.Completed != 0},
		{hasState, r.State != At[Outcome]{}},
		{hasFailure, r.Failure != At[Failure]{}},
		{hasErrorCode, r.ErrorCode != At[string]{}},
		{hasDeployment, r.Deployment != At[string]{}},
		{hasIngress, r.Ingress != At[SpanID]{}},
		{hasCause, r.Cause != At[Cause]{}},
		{ingressIsCause, r.Ingress.Value == r.Cause.Value.Span},
		{hasCaller, r.Caller != At[correlate.InvocationID]{}},
		{hasRequested, r.Requested != 0},
		{hasBegun, r.Begun != 0},
		{hasFreed, r.Freed != 0},
	} {
		if f.set {
			m |= f.bit
		}
	}
	return m
}

func appendRecord(b []byte, r *Record) []byte {
	m := r.mask()
	w := recordWriter{buf: binary.AppendUvarint(b, m)}
	w.time(r.FirstSeen)
	w.time(r.LastSeen)
	if m&hasTarget != 0 {
		w.text(r.Target)
	}
	w.number(uint64(len(r.Traces)))
	for _, t := range r.Traces {
		w.buf = append(w.buf, t.ID[:]...)
		w.time(t.From)
		// The length is known not to be negative, which leaves its lowest bit.
		w.number(uint64(t.To-t.From)<<1 | bit(t.Main))
	}
	if m&hasAttempts != 0 {
		w.number(uint64(len(r.Attempts)))
		for _, a := range r.Attempts {
			w.buf = append(w.buf, a[:]...)
		}
	}
	w.timeIf(m&hasStarted != 0, r.Started)
	w.outcomeIf(m&hasEnded != 0, r.Ended)
	w.outcomeIf(m&hasResult != 0, r.Result)
	w.timeIf(m&hasCompleted != 0, r.Completed)
	w.outcomeIf(m&hasState != 0, r.State)
	if m&hasFailure != 0 {
		w.time(r.Failure.Time)
		w.text(r.Failure.Value.Status)
		w.text(r.Failure.Value.Message)
	}
	w.textIf(m&hasErrorCode != 0, r.ErrorCode)
	w.textIf(m&hasDeployment != 0, r.Deployment)
	if m&hasCause != 0 {
		w.time(r.Cause.Time)
		w.buf = append(w.buf, byte(r.Cause.Value.Origin))
		w.buf = append(w.buf, r.Cause.Value.Span[:]...)
	}
	if m&hasIngress != 0 {
		w.time(r.Ingress.Time)
		if m&ingressIsCause == 0 {
			w.buf = append(w.buf, r.Ingress.Value[:]...)
		}
	}
	if m&hasCaller != 0 {
		w.time(r.Caller.Time)
		w.id(r.Caller.Value)
	}
	w.timeIf(m&hasRequested != 0, r.Requested)
	w.timeIf(m&hasBegun != 0, r.Begun)
	w.timeIf(m&hasFreed != 0, r.Freed)
	return w.buf
}

func readRecord(id correlate.InvocationID, b []byte) (Record, error) {
	r := Record{ID: id}
	d := recordReader{buf: b}
	m := d.number()
	r.FirstSeen, r.LastSeen = d.time(), d.time()
	if m&hasTarget != 0 {
		r.Target = d.text()
	}
	r.TargetSure, r.MoreTraces, r.MoreAttempts = m&targetSure != 0, m&moreTraces != 0, m&moreAttempts != 0
	for range d.count(len(TraceID{})) {
		t := Trace{ID: TraceID(d.bytes(len(TraceID{}))), From: d.time()}
		n := d.number()
		t.To, t.Main = t.From+int64(n>>1), n&1 != 0
		r.Traces = append(r.Traces, t)
	}
	if m&hasAttempts != 0 {
		n := d.count(len(SpanID{}))
		r.Attempts = make([]SpanID, 0, n)
		for range n {
			r.Attempts = append(r.Attempts, SpanID(d.bytes(len(SpanID{}))))
		}
	}
	r.Started = d.timeIf(m&hasStarted != 0)
	r.Ended = d.outcomeIf(m&hasEnded != 0)
	r.Result = d.outcomeIf(m&hasResult != 0)
	r.Completed = d.timeIf(m&hasCompleted != 0)
	r.State = d.outcomeIf(m&hasState != 0)
	if m&hasFailure != 0 {
		r.Failure = At[Failure]{d.time(), Failure{Status: d.text(), Message: d.text()}}
	}
	r.ErrorCode = d.textIf(m&hasErrorCode != 0)
	r.Deployment = d.textIf(m&hasDeployment != 0)
	if m&hasCause != 0 {
		r.Cause.Time = d.time()
		r.Cause.Value.Origin = Origin(d.bytes(1)[0])
		r.Cause.Value.Span = SpanID(d.bytes(len(SpanID{})))
	}
	if m&hasIngress != 0 {
		r.Ingress = At[SpanID]{d.time(), r.Cause.Value.Span}
		if m&ingressIsCause == 0 {
			r.Ingress.Value = SpanID(d.bytes(len(SpanID{})))
		}
	}
	if m&hasCaller != 0 {
		r.Caller = At[correlate.InvocationID]{d.time(), d.id()}
	}
	r.Requested = d.timeIf(m&hasRequested != 0)
	r.Begun = d.timeIf(m&hasBegun != 0)
	r.Freed = d.timeIf(m&hasFreed != 0)
	if d.broken || len(d.buf) != 0 {
		return Record{}, errCorrupt
	}
	return r, nil
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// recordWriter writes fields; last is the time written before.
type recordWriter struct {
	buf  []byte
	last int64
}

func (w *recordWriter) number(n uint64) { w.buf = binary.AppendUvarint(w.buf, n) }

func (w *recordWriter) time(t int64) {
	w.buf = binary.AppendVarint(w.buf, t-w.last)
	w.last = t
}

func (w *recordWriter) timeIf(there bool, t int64) {
	if there {
		w.time(t)
	}
}

func (w *recordWriter) text(s string) {
	w.number(uint64(len(s)))
	w.buf = append(w.buf, s...)
}

func (w *recordWriter) textIf(there bool, at At[string]) {
	if there {
		w.time(at.Time)
		w.text(at.Value)
	}
}

func (w *recordWriter) outcomeIf(there bool, at At[Outcome]) {
	if there {
		w.time(at.Time)
		w.buf = append(w.buf, byte(at.Value))
	}
}

func (w *recordWriter) id(id correlate.InvocationID) {
	w.buf = append(w.buf, id.UUID[:]...)
	w.buf = binary.BigEndian.AppendUint64(w.buf, id.PartitionKey)
}

// recordReader reads them. Once broken it only answers zeros.
type recordReader struct {
	buf    []byte
	last   int64
	broken bool
}

func (d *recordReader) number() uint64 {
	n, size := binary.Uvarint(d.buf)
	if size <= 0 {
		d.buf, d.broken = nil, true
		return 0
	}
	d.buf = d.buf[size:]
	return n
}

// count is how many elements of at least size bytes follow.
func (d *recordReader) count(size int) int {
	n := d.number()
	if n > uint64(len(d.buf)/size) {
		d.buf, d.broken = nil, true
		return 0
	}
	return int(n)
}

var zeros [32]byte

func (d *recordReader) bytes(n int) []byte {
	if n > len(d.buf) {
		d.buf, d.broken = nil, true
		return zeros[:n]
	}
	b := d.buf[:n]
	d.buf = d.buf[n:]
	return b
}

func (d *recordReader) time() int64 {
	n, size := binary.Varint(d.buf)
	if size <= 0 {
		d.buf, d.broken = nil, true
		return 0
	}
	d.buf = d.buf[size:]
	d.last += n
	return d.last
}

func (d *recordReader) timeIf(there bool) int64 {
	if !there {
		return 0
	}
	return d.time()
}

func (d *recordReader) text() string { return string(d.bytes(d.count(1))) }

func (d *recordReader) textIf(there bool) (at At[string]) {
	if there {
		at.Time = d.time()
		at.Value = d.text()
	}
	return at
}

func (d *recordReader) outcomeIf(there bool) (at At[Outcome]) {
	if there {
		at.Time = d.time()
		at.Value = Outcome(d.bytes(1)[0])
	}
	return at
}

func (d *recordReader) id() (id correlate.InvocationID) {
	copy(id.UUID[:], d.bytes(len(id.UUID)))
	id.PartitionKey = binary.BigEndian.Uint64(d.bytes(8))
	return id
}
