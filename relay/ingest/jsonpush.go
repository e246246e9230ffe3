package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/invoscope/invoscope/relay/fault"
)

// jsonPush is the JSON form of a push request; see "Ingest logs" in Loki's HTTP
// API documentation. A value is [ "nanoseconds", "line" ] or
// [ "nanoseconds", "line", {structured metadata} ].
type jsonPush struct {
	Streams []struct {
		Stream map[string]string `json:"stream"`
		Values []jsonEntry       `json:"values"`
	} `json:"streams"`
}

// encodeJSONPush turns it into a push.PushRequest, in the memory of dst. Text that
// isn't UTF-8, and so not JSON, gets replacement characters.
func encodeJSONPush(dst, body []byte) ([]byte, error) {
	var in jsonPush
	if err := json.Unmarshal(body, &in); err != nil {
		return dst, fault.New(fault.Invalid, "the request is not a push request in JSON: "+err.Error())
	}
	req := &push.PushRequest{Streams: make([]push.Stream, len(in.Streams))}
	for i, s := range in.Streams {
		entries := make([]push.Entry, len(s.Values))
		for j, v := range s.Values {
			entries[j] = push.Entry(v)
		}
		req.Streams[i] = push.Stream{Labels: labels.FromMap(s.Stream).String(), Entries: entries}
	}
	size := req.Size()
	dst = slices.Grow(dst[:0], size)[:size]
	if _, err := req.MarshalToSizedBuffer(dst); err != nil {
		return dst, fmt.Errorf("encode the push request: %w", err)
	}
	return dst, nil
}

type jsonEntry push.Entry

func (e *jsonEntry) UnmarshalJSON(b []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	if len(parts) != 2 && len(parts) != 3 {
		return fmt.Errorf("a value has %d elements (want timestamp, line and optionally structured metadata)", len(parts))
	}
	var stamp string
	if err := errors.Join(json.Unmarshal(parts[0], &stamp), json.Unmarshal(parts[1], &e.Line)); err != nil {
		return err
	}
	ns, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("the timestamp %q is not a number of nanoseconds", stamp)
	}
	e.Timestamp = time.Unix(0, ns)
	if len(parts) == 3 {
		return json.Unmarshal(parts[2], &e.StructuredMetadata)
	}
	return nil
}
