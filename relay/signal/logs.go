package signal

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
)

// Logs is the form of requests for Loki.
type Logs struct{}

// Join makes one request of several without decompressing them. A block of snappy
// is the length of its content and then elements that refer to no more than what
// stands before them in the same block, at distances; so elements of several
// blocks, one after the other, make one block (google/snappy,
// format_description.txt). And messages of protobuf, one after the other, are one
// message with the fields of all. A body that isn't such a block is left out.
func (Logs) Join(bodies [][]byte) []byte {
	var content uint64
	size := binary.MaxVarintLen64
	for _, b := range bodies {
		n, _ := binary.Uvarint(b)
		content += n
		size += len(b)
	}
	joined := binary.AppendUvarint(make([]byte, 0, size), content)
	for _, b := range bodies {
		if _, n := binary.Uvarint(b); n > 0 {
			joined = append(joined, b[n:]...)
		}
	}
	return joined
}

// Split cuts a request into two with half of its entries each. ok is false when
// it has one entry or none, or isn't such a request.
func (Logs) Split(body []byte) (first, second []byte, ok bool) {
	req, err := decodeLogs(body)
	if err != nil {
		return nil, nil, false
	}
	n := 0
	for _, s := range req.Streams {
		n += len(s.Entries)
	}
	if n < 2 {
		return nil, nil, false
	}
	var halves [2]push.PushRequest
	taken := 0
	for _, s := range req.Streams {
		cut := min(max(n/2-taken, 0), len(s.Entries))
		taken += len(s.Entries)
		for i, entries := range [][]push.Entry{s.Entries[:cut], s.Entries[cut:]} {
			if len(entries) > 0 {
				halves[i].Streams = append(halves[i].Streams, push.Stream{Labels: s.Labels, Hash: s.Hash, Entries: entries})
			}
		}
	}
	first, errFirst := encodeLogs(&halves[0])
	second, errSecond := encodeLogs(&halves[1])
	return first, second, errFirst == nil && errSecond == nil
}

// Print writes a request's entries, a line each: time, labels, text.
func (Logs) Print(w io.Writer, body []byte) error {
	req, err := decodeLogs(body)
	if err != nil {
		return err
	}
	for _, s := range req.Streams {
		for _, e := range s.Entries {
			if _, err := fmt.Fprintf(w, "%s %s %s\n", e.Timestamp.UTC().Format(time.RFC3339Nano), s.Labels, e.Line); err != nil {
				return fmt.Errorf("print the entries: %w", err)
			}
		}
	}
	return nil
}

func decodeLogs(body []byte) (*push.PushRequest, error) {
	raw, err := s2.Decode(nil, body)
	if err != nil {
		return nil, fmt.Errorf("decode the request: %w", err)
	}
	req := new(push.PushRequest)
	if err := req.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("decode the request: %w", err)
	}
	return req, nil
}

func encodeLogs(req *push.PushRequest) ([]byte, error) {
	raw, err := req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return s2.EncodeSnappy(nil, raw), nil
}
