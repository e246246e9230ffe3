package ingest

import (
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/otlptranslator"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/internal/wire"
	"github.com/invoscope/invoscope/relay/fault"
)

// LokiPush serves POST /loki/api/v1/push: a snappy-compressed push.PushRequest,
// or the same as JSON. It answers 204 once the entries are stored. As in Loki,
// one that can't be stored is answered with 400 and doesn't keep the others from
// it.
func (in *Ingest) LokiPush(w http.ResponseWriter, r *http.Request, tenant string) error {
	body, release, err := in.readBody(r, tenant)
	if err != nil {
		return err
	}
	defer release()
	b := in.logs(tenant)
	defer b.release()
	if fault.IsJSON(r.Header) {
		b.raw, err = encodeJSONPush(b.raw[:0], body)
	} else {
		err = b.decompress(body)
	}
	if err != nil {
		return err
	}
	if err := b.push(b.raw); err != nil {
		return err
	}
	if err := in.allow(tenant, len(b.raw), 0); err != nil {
		return err
	}
	if err := b.store(r.Context()); err != nil {
		return err
	}
	if err := b.refused.lokiError(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// maxSnappyRatio is how much smaller snappy makes anything: its shortest way to
// copy 64 bytes takes three.
const maxSnappyRatio = 22

// decompress makes b.raw what a snappy block holds. It makes no room for more
// than a block of that size can hold, whatever it says.
func (b *logBatch) decompress(body []byte) error {
	n, err := s2.DecodedLen(body)
	switch {
	case err == nil && int64(n) > b.in.maxBytes(b.tenant):
		return tooLarge(b.in.maxBytes(b.tenant))
	case err == nil && n > maxSnappyRatio*len(body):
		err = s2.ErrCorrupt
	}
	if err != nil {
		return fault.New(fault.Invalid, "the request's body is not snappy: "+err.Error())
	}
	if cap(b.raw) < n {
		b.raw = make([]byte, n)
	}
	if b.raw, err = s2.Decode(b.raw[:cap(b.raw)], body); err != nil {
		return fault.New(fault.Invalid, "the request's body is not snappy: "+err.Error())
	}
	return nil
}

var errNotPush = fault.New(fault.Invalid, "the request is not a push.PushRequest")

// push reads a push.PushRequest. What it keeps of it are references.
func (b *logBatch) push(body []byte) error {
	streams := 0
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Number != fieldStreams:
		case f.Kind != protowire.BytesType:
			return errNotPush
		default:
			streams++
			if err := b.pushStream(f.Content); err != nil {
				return err
			}
		}
	}
	switch {
	case f.Broken:
		return errNotPush
	case streams == 0:
		return fault.New(fault.Unprocessable, "error at least one valid stream is required for ingestion")
	}
	return nil
}

// pushStream reads a stream. Its labels may stand behind its entries.
func (b *logBatch) pushStream(body []byte) error {
	var sent []byte
	entries := int64(0)
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Is(fieldLabels):
			sent = f.Content
		case f.Is(fieldEntries):
			entries++
		case f.Number == fieldLabels || f.Number == fieldEntries:
			return errNotPush
		}
	}
	if f.Broken {
		return errNotPush
	}
	if entries == 0 {
		return nil
	}
	s, bad := b.in.sentStream(b.tenant, sent)
	switch {
	case bad != nil:
		b.refused.add(reasonLabels, entries, func() string { return fault.Of(bad).Message })
	case s.dropped:
		b.dropped += entries
	}
	b.begin(s.labels)
	previous := int64(noTime)
	f = wire.Fields{Body: body}
	for f.Next() {
		if !f.Is(fieldEntries) {
			continue
		}
		e, err := b.pushEntry(f.Content)
		if err != nil {
			return err
		}
		if bad != nil || s.dropped {
			continue // it had to be read: a broken one spoils the request
		}
		if e.time == noTime {
			e.time = b.following(previous)
		}
		previous = e.time
		if err := b.addPushed(e); err != nil {
			return err
		}
	}
	return nil
}

// addPushed adds an entry unless Loki couldn't store it. Of a label with no
// usable name Loki 3.7.8 says 500 and stores nothing of the request, so that it
// would be delivered again and again.
func (b *logBatch) addPushed(e *entry) error {
	if len(e.meta) > maxMetadata {
		return b.add(e) // refuses it
	}
	for i := range e.meta {
		l := &e.meta[i]
		if isLabelName(l.name) && !strings.Contains(l.name, "__") {
			continue
		}
		namer := otlptranslator.LabelNamer{}
		name, err := namer.Build(l.name) // as Loki would, so that no other spelling replaces our facts
		if err != nil {
			b.refused.add(reasonAttribute, 1, err.Error)
			return nil
		}
		l.name = name
	}
	return b.add(e)
}

// noTime is the time of an entry whose sender gives none.
const noTime = math.MinInt64

// following is the time of an entry without one: right behind the entry before
// it, so that they stay together and Loki, which keeps one of two equal lines of
// the same time, keeps both. Before the first one nothing is known but now.
func (b *logBatch) following(previous int64) int64 {
	switch previous {
	case noTime:
		return b.in.opts.Now().UnixNano()
	case math.MaxInt64:
		return previous
	}
	return previous + 1
}

// pushEntry reads an entry, which is valid until the next one is read.
func (b *logBatch) pushEntry(body []byte) (*entry, error) {
	b.entry = entry{time: noTime, meta: b.meta[:0]}
	f := wire.Fields{Body: body}
	for f.Next() {
		if f.Number > fieldMetadata {
			continue
		}
		if f.Kind != protowire.BytesType {
			return nil, errNotPush
		}
		ok := true
		switch f.Number {
		case fieldTimestamp:
			b.entry.time, ok = readTimestamp(f.Content)
		case fieldLine:
			b.entry.line = wire.Text(f.Content)
		case fieldMetadata:
			var l label
			if l, ok = readLabel(f.Content); len(b.entry.meta) <= maxMetadata { // one more is too many
				b.entry.meta = append(b.entry.meta, l)
			}
		}
		if !ok {
			return nil, errNotPush
		}
	}
	b.meta = b.entry.meta
	if f.Broken {
		return nil, errNotPush
	}
	return &b.entry, nil
}

func readLabel(body []byte) (l label, ok bool) {
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Is(fieldName):
			l.name = wire.Text(f.Content)
		case f.Is(fieldValue):
			l.value = wire.Text(f.Content)
		case f.Number == fieldName || f.Number == fieldValue:
			return l, false
		}
	}
	return l, !f.Broken
}

// The range that google.protobuf.Timestamp has by its definition: from the year 1
// to the end of the year 9999, in seconds since 1970.
const (
	minSeconds = -62135596800
	maxSeconds = 253402300800
)

// readTimestamp returns a google.protobuf.Timestamp in nanoseconds; times that
// these don't reach become the first or last one that they do. The zero values of
// protobuf and of Go's time.Time, 1970 and the year 1, are no time: that is how one
// is encoded that nobody has set.
func readTimestamp(body []byte) (nanos int64, ok bool) {
	var seconds int64
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Number == fieldSeconds && f.Kind == protowire.VarintType:
			seconds = int64(f.Value) // two's complement
		case f.Number == fieldNanos && f.Kind == protowire.VarintType:
			nanos = int64(int32(f.Value)) // two's complement
		case f.Number == fieldSeconds || f.Number == fieldNanos:
			return 0, false
		}
	}
	if f.Broken || seconds < minSeconds || seconds >= maxSeconds || nanos < 0 || nanos >= int64(time.Second) {
		return 0, false
	}
	const first, last = math.MinInt64 / int64(time.Second), math.MaxInt64 / int64(time.Second)
	switch {
	case (seconds == 0 || seconds == minSeconds) && nanos == 0:
		return noTime, true
	case seconds <= first:
		return noTime + 1, true
	case seconds >= last:
		return math.MaxInt64, true
	}
	return seconds*int64(time.Second) + nanos, true
}
