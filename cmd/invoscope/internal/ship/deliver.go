package ship

import (
	"context"
	"errors"
)

// maxExcerpt is how much of a dropped line a message quotes, in bytes.
const maxExcerpt = 200

// deliver pushes a batch. If the relay refuses it, its halves are pushed, and
// so on down to the lines that are refused alone: these are dropped, named in
// the log and counted, and all others are acknowledged.
func (p *pusher) deliver(ctx context.Context, b *batch) (acked, dropped int, err error) {
	return p.deliverPart(ctx, b, 0, len(b.entries))
}

func (p *pusher) deliverPart(ctx context.Context, b *batch, from, to int) (acked, dropped int, err error) {
	err = p.push(ctx, b.entries[from:to])
	var a *answer
	if !errors.As(err, &a) || !a.refused() {
		if err != nil {
			return 0, 0, err
		}
		return to - from, 0, nil
	}
	if to-from == 1 {
		line := b.entries[from].Line
		p.log.Warn("line dropped: the relay refuses it", "from", b.origins[from].String(), "error", a,
			"bytes", len(line), "line", line[:min(len(line), maxExcerpt)])
		return 0, 1, nil
	}
	middle := from + (to-from)/2
	acked, dropped, err = p.deliverPart(ctx, b, from, middle)
	if err != nil {
		return acked, dropped, err
	}
	acked2, dropped2, err := p.deliverPart(ctx, b, middle, to)
	return acked + acked2, dropped + dropped2, err
}
