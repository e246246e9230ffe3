package ingest

import (
	"strings"
	"time"

	"github.com/invoscope/invoscope/correlate"
)

// What is remembered of each stream's last record between requests: of as many
// streams as their labels are, for as long as a sender may need to send the rest, and
// no more bytes than that.
const (
	cachedRecords  = cachedStreams
	continueWithin = 10 * time.Second
	cachedFacts    = 1024
)

// record is what a stream's last record said.
type record struct {
	facts correlate.Facts
	taken time.Time // when its last line was
}

// openRecords are the last ones of a request's streams, by the streams' labels. Until
// the request is stored only it knows them: its sender may send it again.
type openRecords struct {
	of      *record // the current stream's; nil when it has none yet
	streams map[string]*record
}

func (r *openRecords) reset() {
	r.of = nil
	if len(r.streams) > cachedRecords {
		r.streams = nil
	}
	clear(r.streams)
}

// resumeRecord finds the record that the first lines of a stream may continue.
func (b *logBatch) resumeRecord(labels string) {
	r := &b.open
	if r.of = r.streams[labels]; r.of != nil {
		return
	}
	r.of = &record{}
	if last, ok := b.in.records.Get(labels); ok && b.now.Sub(last.taken) <= continueWithin {
		r.of.facts.Copy(&last.facts)
	}
	if r.streams == nil {
		r.streams = map[string]*record{}
	}
	r.streams[labels] = r.of
}

// continueRecord gives a line that continues a record the facts of that record.
func (b *logBatch) continueRecord(e *entry) {
	last := &b.open.of.facts
	if begins(e) {
		last.Copy(&b.facts)
		return
	}
	// What we add must not make a request too large that wasn't.
	if int64(len(b.live.buf)+len(b.dead.buf)) <= maxGrowth/2*b.in.opts.MaxBytes {
		b.facts.Continue(e.line, last)
	}
}

// begins reports whether an entry is a record of its own: its line is, or its sender
// says what only whoever sees records can say.
func begins(e *entry) bool {
	for i := range e.meta {
		switch e.meta[i].name {
		case correlate.MetaInvocationID, correlate.MetaLevel, correlate.MetaTraceID, "severity_number", "severity_text":
			return true
		}
	}
	return correlate.Begins(e.line)
}

// keepRecords remembers the last record of each stream for the next request.
func (b *logBatch) keepRecords() {
	for labels, r := range b.open.streams {
		f := &r.facts
		if len(f.Target)+len(f.Level)+len(f.Related)*len(f.InvocationID) > cachedFacts || len(labels) > cachedBytes {
			b.in.records.Remove(labels)
			continue
		}
		kept := &record{taken: b.now}
		kept.facts = correlate.Facts{
			InvocationID: strings.Clone(f.InvocationID), Target: strings.Clone(f.Target), Level: strings.Clone(f.Level),
			ErrorCode: strings.Clone(f.ErrorCode), RetryCount: strings.Clone(f.RetryCount),
		}
		for _, id := range f.Related {
			kept.facts.Related = append(kept.facts.Related, strings.Clone(id))
		}
		b.in.records.Add(labels, kept)
	}
}
