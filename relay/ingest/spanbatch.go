package ingest

import (
	"bytes"
	"context"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/internal/wire"
	"github.com/invoscope/invoscope/relay/queue"
)

// spanBatch turns one request of spans into what is stored: the same request
// without what can't be stored, its resources tagged with the tenant. Its memory
// is used again for another request.
//
// Of requests, resources and scopes it writes the fields it knows and no others:
// who knows more fields could find spans in them that nobody has looked at.
type spanBatch struct {
	in      *Ingest
	buf     wireBuffer
	kept    int
	refused refusals
	// A span must not have ended before oldest nor after newest, in nanoseconds
	// since 1970.
	oldest, newest uint64

	tenantKey []byte
	tenantTag []byte // the tenant's attribute, encoded as a field of Resource
}

// spans returns a batch, to be given back with release.
func (in *Ingest) spans(tenant string) *spanBatch {
	b, ok := in.spanBatches.Get().(*spanBatch)
	if !ok {
		b = &spanBatch{in: in, tenantKey: []byte(in.opts.TenantKey)}
	}
	name := appendField(nil, 1, tenant) // AnyValue.string_value
	pair := appendField(appendField(nil, 1, in.opts.TenantKey), 2, name)
	b.tenantTag = appendField(b.tenantTag[:0], 1, pair) // Resource.attributes
	b.oldest, b.newest = 0, math.MaxUint64
	now := in.opts.Now()
	if in.opts.SpanMaxAge > 0 {
		b.oldest = uint64(max(now.Add(-in.opts.SpanMaxAge).UnixNano(), 0))
	}
	if in.opts.MaxLead > 0 {
		b.newest = uint64(max(now.Add(in.opts.MaxLead).UnixNano(), 0))
	}
	return b
}

func (b *spanBatch) release() {
	if cap(b.buf) > keepBytes {
		return
	}
	b.buf, b.kept = b.buf[:0], 0
	b.refused.reset()
	b.in.spanBatches.Put(b)
}

// store reads a request and appends what is left of it to the queue.
func (b *spanBatch) store(ctx context.Context, tenant string, body []byte) error {
	if err := b.request(body); err != nil {
		return err
	}
	if err := b.in.allow(tenant, len(body), b.kept); err != nil {
		return err
	}
	if b.kept > 0 {
		if err := store(ctx, b.in.opts.Traces, tenant, queue.Request{Body: b.buf, Items: b.kept}); err != nil {
			return err
		}
		b.in.metrics.acceptedSpans.Add(float64(b.kept))
		b.in.metrics.acceptedTraceBytes.Add(float64(len(b.buf)))
	}
	b.in.metrics.count("traces", &b.refused)
	return nil
}

func (b *spanBatch) request(body []byte) error {
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Number != 1: // resource_spans
		case f.Kind != protowire.BytesType:
			return errNotOTLP
		default:
			if err := b.resourceSpans(f.Content); err != nil {
				return err
			}
		}
	}
	if f.Broken {
		return errNotOTLP
	}
	return nil
}

func (b *spanBatch) resourceSpans(body []byte) error {
	c, worst := readContainer(body, resourceMessage)
	if err := worst.fatal(); err != nil {
		return err
	}
	if worst != sound {
		b.refused.add(worst.reason(), c.countItems(body), nil)
		return nil
	}
	before := b.kept
	start := len(b.buf)
	mark := b.buf.begin(1)
	head := b.buf.begin(fieldHead)
	b.copyHead(c.head, 1)
	b.buf = append(b.buf, b.tenantTag...)
	b.buf.end(head)
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Is(c.members):
			if err := b.scopeSpans(f.Content); err != nil {
				return err
			}
		case f.Is(fieldSchema):
			b.buf = append(b.buf, body[f.Start:f.Pos]...)
		}
	}
	b.buf.end(mark)
	if b.kept == before {
		b.buf = b.buf[:start]
	}
	return nil
}

// copyHead copies a Resource or a scope, whose attributes have a number, without
// those that name a tenant.
func (b *spanBatch) copyHead(head []byte, attributes int32) {
	f := wire.Fields{Body: head}
	for f.Next() {
		if !f.Is(attributes) || !b.namesTenant(f.Content) {
			b.buf = append(b.buf, head[f.Start:f.Pos]...)
		}
	}
}

// namesTenant reports whether a KeyValue claims to say whose the data is. Of
// several keys the last counts.
func (b *spanBatch) namesTenant(pair []byte) bool {
	if !bytes.Contains(pair, b.tenantKey) {
		return false
	}
	key, _ := readPair(pair)
	return bytes.Equal(key, b.tenantKey)
}

func (b *spanBatch) scopeSpans(body []byte) error {
	c, worst := readContainer(body, scopeMessage)
	if err := worst.fatal(); err != nil {
		return err
	}
	if worst != sound {
		b.refused.add(worst.reason(), countMembers(body), nil)
		return nil
	}
	before, start := b.kept, len(b.buf)
	mark := b.buf.begin(fieldMembers)
	if c.head != nil {
		head := b.buf.begin(fieldHead)
		b.copyHead(c.head, 3)
		b.buf.end(head)
	}
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Is(fieldMembers):
			if err := b.span(f.Content); err != nil {
				return err
			}
		case f.Is(fieldSchema):
			b.buf = append(b.buf, body[f.Start:f.Pos]...)
		}
	}
	b.buf.end(mark)
	if b.kept == before {
		b.buf = b.buf[:start]
	}
	return nil
}

// The fields of Span that decide whether it is taken.
const (
	spanTraceID    = 1
	spanSpanID     = 2
	spanStart      = 7
	spanEnd        = 8
	spanAttributes = 9
)

// span copies a span unless something is wrong with it.
func (b *spanBatch) span(body []byte) error {
	start := len(b.buf)
	mark := b.buf.begin(fieldMembers)
	var traceID, spanID []byte
	var ended uint64 // or began, when that is later
	worst, copied := sound, 0
	f := wire.Fields{Body: body}
	for f.Next() {
		if worst = max(worst, spanMessage.checkField(&f, 0)); worst >= tooDeep {
			return worst.fatal()
		}
		switch f.Number {
		case spanTraceID:
			traceID = f.Content
		case spanSpanID:
			spanID = f.Content
		case spanStart, spanEnd:
			ended = max(ended, f.Value)
		case spanAttributes:
			if b.namesTenant(f.Content) {
				b.buf = append(b.buf, body[copied:f.Start]...)
				copied = f.Pos
			}
		}
	}
	if f.Broken {
		return errNotOTLP
	}
	why := reason{}
	switch {
	case worst != sound:
		why = worst.reason()
	case isZero(traceID), isZero(spanID):
		why = reasonID
	case ended < b.oldest:
		why = b.in.reasons.oldSpan
	case ended > b.newest:
		why = b.in.reasons.future
	case int64(len(body)) > b.in.opts.MaxItemBytes:
		why = b.in.reasons.large
	}
	if why != (reason{}) {
		b.buf = b.buf[:start]
		b.refused.add(why, 1, nil)
		return nil
	}
	b.buf = append(b.buf, body[copied:]...)
	b.buf.end(mark)
	b.kept++
	return nil
}
