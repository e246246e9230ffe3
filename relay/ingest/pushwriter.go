package ingest

import (
	"encoding/binary"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of the fields of push.PushRequest (pkg/push/push.proto of Loki).
const (
	fieldStreams   = 1 // PushRequest.streams
	fieldLabels    = 1 // Stream.labels
	fieldEntries   = 2 // Stream.entries
	fieldTimestamp = 1 // Entry.timestamp
	fieldLine      = 2 // Entry.line
	fieldMetadata  = 3 // Entry.structuredMetadata
	fieldName      = 1 // LabelPair.name
	fieldValue     = 2 // LabelPair.value
	fieldSeconds   = 1 // google.protobuf.Timestamp.seconds
	fieldNanos     = 2 // google.protobuf.Timestamp.nanos
)

// pushWriter writes a push.PushRequest. A stream without entries leaves nothing.
type pushWriter struct {
	buf       wireBuffer
	stream    string // labels of the current stream
	mark      int    // where its content begins, once it has an entry
	entries   int
	lineBytes int
}

func (w *pushWriter) reset() { *w = pushWriter{buf: w.buf[:0]} }

// begin makes a stream of these labels the current one.
func (w *pushWriter) begin(labels string) {
	w.end()
	w.stream = labels
}

// end completes the current stream.
func (w *pushWriter) end() {
	if w.mark > 0 {
		w.buf.end(w.mark)
	}
	w.stream, w.mark = "", 0
}

// write adds an entry to the current stream.
func (w *pushWriter) write(e *entry) {
	if w.mark == 0 {
		w.mark = w.buf.begin(fieldStreams)
		w.buf = appendField(w.buf, fieldLabels, w.stream)
	}
	var stamp [2 + 2*binary.MaxVarintLen64]byte
	stampBytes := appendTimestamp(stamp[:0], e.time)
	size := sizeOf(len(stampBytes)) + sizeOf(len(e.line))
	for i := range e.meta {
		size += sizeOf(sizeOf(len(e.meta[i].name)) + sizeOf(len(e.meta[i].value)))
	}
	b := binary.AppendUvarint(appendTag(w.buf, fieldEntries, protowire.BytesType), uint64(size))
	b = appendField(b, fieldTimestamp, stampBytes)
	b = appendField(b, fieldLine, e.line)
	for i := range e.meta {
		l := &e.meta[i]
		b = binary.AppendUvarint(appendTag(b, fieldMetadata, protowire.BytesType), uint64(sizeOf(len(l.name))+sizeOf(len(l.value))))
		b = appendField(b, fieldName, l.name)
		b = appendField(b, fieldValue, l.value)
	}
	w.buf = b
	w.entries++
	w.lineBytes += len(e.line)
}

// appendTimestamp writes a google.protobuf.Timestamp, whose nanos are never
// negative.
func appendTimestamp(b []byte, nanos int64) []byte {
	seconds, rest := nanos/int64(time.Second), nanos%int64(time.Second)
	if rest < 0 {
		seconds, rest = seconds-1, rest+int64(time.Second)
	}
	if seconds != 0 {
		b = appendVarint(b, fieldSeconds, uint64(seconds)) // two's complement, as protobuf writes it
	}
	if rest != 0 {
		b = appendVarint(b, fieldNanos, uint64(rest))
	}
	return b
}
