package ship

import (
	"time"

	"github.com/grafana/loki/pkg/push"
)

// Bounds of a batch; the first one reached sends it.
const (
	maxBatchLines = 1000
	maxBatchBytes = 1 << 20 // of line text
	maxBatchAge   = 200 * time.Millisecond
)

// batch is the lines of one push request. It is reused.
type batch struct {
	text    []byte // all lines, without anything between them
	ends    []int  // where each line ends in text
	origins []origin
	entries []push.Entry // made by seal
	first   time.Time    // when the first line was added
}

func (b *batch) add(line []byte, from origin) {
	if b.empty() {
		b.first = time.Now()
	}
	b.text = append(b.text, line...)
	b.ends = append(b.ends, len(b.text))
	b.origins = append(b.origins, from)
}

func (b *batch) empty() bool { return len(b.ends) == 0 }

// full reports whether n more bytes of text are too many.
func (b *batch) full(n int) bool {
	return len(b.ends) >= maxBatchLines || !b.empty() && len(b.text)+n > maxBatchBytes
}

// seal makes the entries. One string backs all their lines.
func (b *batch) seal() {
	text, start := string(b.text), 0
	for i, end := range b.ends {
		line := text[start:end]
		b.entries = append(b.entries, push.Entry{Timestamp: b.origins[i].source.date(line, b.first), Line: line})
		start = end
	}
}

func (b *batch) reset() {
	clear(b.entries)
	clear(b.origins)
	b.text, b.ends, b.entries, b.origins = b.text[:0], b.ends[:0], b.entries[:0], b.origins[:0]
}
