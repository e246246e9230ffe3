package ship

import (
	"context"
	"errors"
	"fmt"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
)

// maxExcerpt is how much of a dropped line a message quotes, in bytes.
const maxExcerpt = 200

// deliver pushes an encoded request. If the relay refuses it, its halves are
// pushed, and so on down to the lines that are refused alone: these are dropped
// and named in the log, and all others are acknowledged.
func (p *pusher) deliver(ctx context.Context, packed []byte) (dropped int, err error) {
	err = p.push(ctx, packed)
	if !isRefusal(err) {
		return 0, err
	}
	raw, decodeErr := s2.Decode(nil, packed)
	var req push.PushRequest
	if decodeErr == nil {
		decodeErr = req.Unmarshal(raw)
	}
	if decodeErr != nil {
		return 0, &permanentError{fmt.Errorf("read lines back: %w", decodeErr)}
	}
	return p.deliverHalves(ctx, req.Streams, err)
}

// deliverHalves delivers streams that were refused together.
func (p *pusher) deliverHalves(ctx context.Context, streams []push.Stream, reason error) (dropped int, err error) {
	first, second := halves(streams)
	if len(second) == 0 {
		e := first[0].Entries[0]
		p.log.Warn("line dropped: the relay refuses it", "stream", first[0].Labels, "error", reason,
			"bytes", len(e.Line), "line", e.Line[:min(len(e.Line), maxExcerpt)])
		return 1, nil
	}
	for _, half := range [][]push.Stream{first, second} {
		packed, err := encodeRequest(&push.PushRequest{Streams: half}, &p.raw)
		if err != nil {
			return dropped, err
		}
		err = p.push(ctx, packed)
		if isRefusal(err) {
			var n int
			n, err = p.deliverHalves(ctx, half, err)
			dropped += n
		}
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// isRefusal reports whether an error of push is about what was sent.
func isRefusal(err error) bool {
	var a *answer
	return errors.As(err, &a) && a.refused()
}

// halves cuts the entries of streams in two, in their order. The second half is
// empty if there is only one entry.
func halves(streams []push.Stream) (first, second []push.Stream) {
	n := 0
	for _, s := range streams {
		n += len(s.Entries)
	}
	room := n - n/2 // entries of the first half
	for _, s := range streams {
		here := min(room, len(s.Entries))
		room -= here
		if here > 0 {
			first = append(first, push.Stream{Labels: s.Labels, Entries: s.Entries[:here]})
		}
		if here < len(s.Entries) {
			second = append(second, push.Stream{Labels: s.Labels, Entries: s.Entries[here:]})
		}
	}
	return first, second
}
