package ship

import (
	"fmt"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
)

// Bounds of a batch; the first one reached ends it.
const (
	maxBatchLines = 1000
	maxBatchBytes = 1 << 20 // of line text
	maxBatchAge   = 200 * time.Millisecond
)

// batch is the lines of one push request, of any number of streams. It is reused.
type batch struct {
	text  []byte // all lines, without anything between them
	lines []batchLine
	first time.Time // when the first line was added

	req   push.PushRequest // made by encode
	index map[*source]int  // place of a source's stream in req
	raw   []byte           // req, encoded
}

// batchLine is one line of a batch.
type batchLine struct {
	end  int       // where it ends in the batch's text
	at   time.Time // when a runtime took it, or zero
	from *source
}

func (b *batch) add(line []byte, at time.Time, from *source) {
	if b.empty() {
		b.first = time.Now()
	}
	b.text = append(b.text, line...)
	b.lines = append(b.lines, batchLine{end: len(b.text), at: at, from: from})
}

func (b *batch) empty() bool { return len(b.lines) == 0 }

// full reports whether n more bytes of text are too many.
func (b *batch) full(n int) bool {
	return len(b.lines) >= maxBatchLines || !b.empty() && len(b.text)+n > maxBatchBytes
}

// encode dates the lines and returns them as a push request, compressed as Loki
// wants it, in a new slice. One string backs all their text.
func (b *batch) encode() ([]byte, error) {
	text, start := string(b.text), 0
	var last *source
	var stream *push.Stream
	for _, l := range b.lines {
		if l.from != last {
			last, stream = l.from, b.stream(l.from)
		}
		line := text[start:l.end]
		start = l.end
		stream.Entries = append(stream.Entries, push.Entry{
			Timestamp: l.from.date(line, l.at, b.first), Line: line, StructuredMetadata: l.from.metadata,
		})
	}
	return encodeRequest(&b.req, &b.raw)
}

// stream returns the stream of a source, which is made when it isn't there.
func (b *batch) stream(s *source) *push.Stream {
	i, ok := b.index[s]
	if !ok {
		if b.index == nil {
			b.index = map[*source]int{}
		}
		i = len(b.req.Streams)
		b.index[s] = i
		if i < cap(b.req.Streams) { // keeps the entries of an earlier batch as room
			b.req.Streams = b.req.Streams[:i+1]
		} else {
			b.req.Streams = append(b.req.Streams, push.Stream{})
		}
		b.req.Streams[i].Labels = s.labels
	}
	return &b.req.Streams[i]
}

// encodeRequest uses *raw as room and returns a new slice.
func encodeRequest(req *push.PushRequest, raw *[]byte) ([]byte, error) {
	n := req.Size()
	if cap(*raw) < n {
		*raw = make([]byte, n)
	}
	n, err := req.MarshalToSizedBuffer((*raw)[:n])
	if err != nil {
		return nil, fmt.Errorf("encode lines: %w", err)
	}
	return s2.EncodeSnappy(nil, (*raw)[:n]), nil
}

func (b *batch) reset() {
	for i := range b.req.Streams {
		s := &b.req.Streams[i]
		clear(s.Entries)
		s.Labels, s.Entries = "", s.Entries[:0]
	}
	b.req.Streams = b.req.Streams[:0]
	clear(b.index)
	clear(b.lines)
	b.text, b.lines = b.text[:0], b.lines[:0]
}
