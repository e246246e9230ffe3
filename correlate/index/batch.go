package index

import (
	"errors"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/internal/wire"
)

// Batch is what some spans and log lines say about invocations. Its zero value is
// ready; [Index.Apply] merges it into the index.
type Batch struct {
	// Latest bounds the times that are learnt, in nanoseconds since 1970; 0 doesn't. What
	// claims to be seen in a far future would never be forgotten.
	Latest int64

	records map[correlate.InvocationID]*Record
	// scratch is what is read right now.
	scratch struct {
		span  span
		entry entry
	}
}

// Len is the number of invocations that the batch knows something about.
func (b *Batch) Len() int { return len(b.records) }

// Records returns what the batch knows, in no order.
func (b *Batch) Records() []*Record {
	all := make([]*Record, 0, len(b.records))
	for _, r := range b.records {
		all = append(all, r)
	}
	return all
}

// Reset forgets all but Latest.
func (b *Batch) Reset() {
	clear(b.records)
	b.scratch.span, b.scratch.entry = span{}, entry{}
}

func (b *Batch) tooLate(at int64) bool { return b.Latest != 0 && at > b.Latest }

func (b *Batch) record(id correlate.InvocationID) *Record {
	r := b.records[id]
	if r == nil {
		r = &Record{ID: id}
		if b.records == nil {
			b.records = map[correlate.InvocationID]*Record{}
		}
		b.records[id] = r
	}
	return r
}

var errWire = errors.New("the message can't be decoded")

// each calls do for the length-delimited fields of a message that have a number.
func each(message []byte, number int32, do func(content []byte) error) error {
	f := wire.Fields{Body: message}
	for f.Next() {
		if f.Is(number) {
			if err := do(f.Content); err != nil {
				return err
			}
		}
	}
	if f.Broken {
		return errWire
	}
	return nil
}
