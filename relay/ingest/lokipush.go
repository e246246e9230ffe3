package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/invoscope/invoscope/relay/fault"
)

// LokiPush serves POST /loki/api/v1/push: a snappy-compressed
// push.PushRequest, or the same as JSON. It answers 204 once the entries are
// stored. Streams with bad labels are refused with 400, as Loki does, and the
// others of the request are kept.
func (in *Ingest) LokiPush(w http.ResponseWriter, r *http.Request, tenant string) error {
	body, release, err := in.readBody(r)
	if err != nil {
		return err
	}
	defer release()
	req, err := in.decodePush(r.Header, body)
	if err != nil {
		return err
	}
	if len(req.Streams) == 0 {
		return fault.New(fault.Unprocessable, "error at least one valid stream is required for ingestion")
	}
	bad := in.relabel(req, tenant)
	if err := in.appendStreams(r.Context(), tenant, req); err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (in *Ingest) decodePush(h http.Header, body []byte) (*push.PushRequest, error) {
	if fault.IsJSON(h) {
		return decodeJSONPush(body)
	}
	n, err := s2.DecodedLen(body)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the request's body is not snappy: "+err.Error())
	}
	if int64(n) > in.opts.MaxBytes {
		return nil, in.tooLarge()
	}
	raw, err := s2.Decode(nil, body)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the request's body is not snappy: "+err.Error())
	}
	req := new(push.PushRequest)
	if err := req.Unmarshal(raw); err != nil {
		return nil, fault.New(fault.Invalid, "the request is not a push.PushRequest: "+err.Error())
	}
	return req, nil
}

// relabel gives each stream its stored labels and takes out the streams whose
// labels are no good; it returns what is wrong with the first of them.
func (in *Ingest) relabel(req *push.PushRequest, tenant string) (bad error) {
	req.Streams = slices.DeleteFunc(req.Streams, func(s push.Stream) bool {
		if len(s.Entries) == 0 {
			return true
		}
		_, err := in.streamLabels(tenant, s.Labels)
		if err != nil {
			in.metrics.refused.WithLabelValues("logs", "labels").Add(float64(len(s.Entries)))
			if bad == nil {
				bad = err
			}
		}
		return err != nil
	})
	for i := range req.Streams {
		s := &req.Streams[i]
		s.Labels, _ = in.streamLabels(tenant, s.Labels) // those that fail are gone
		s.Hash = 0
	}
	return bad
}

// labelsKey names a stream by what its sender wrote.
type labelsKey struct{ tenant, labels string }

// streamLabels returns a stream's labels as they are stored: sorted, without
// empty ones, and with the tenant's name whatever the sender said.
func (in *Ingest) streamLabels(tenant, sent string) (string, error) {
	key := labelsKey{tenant, sent}
	if stored, ok := in.labels.Get(key); ok {
		return stored, nil
	}
	if len(sent) > maxLabelsBytes {
		return "", fault.New(fault.Invalid, fmt.Sprintf("stream labels of %d bytes exceed the limit of %d", len(sent), maxLabelsBytes))
	}
	parsed, err := in.parser.ParseMetric(sent)
	if err != nil {
		return "", fault.New(fault.Invalid, fmt.Sprintf("error parsing labels '%s' with error: %s", sent, err))
	}
	if name, twice := parsed.HasDuplicateLabelNames(); twice {
		return "", fault.New(fault.Invalid, fmt.Sprintf("stream '%s' has duplicate label name: '%s'", sent, name))
	}
	parsed = parsed.WithoutEmpty()
	if err := checkLabels(parsed); err != nil {
		return "", err
	}
	stored := labels.NewBuilder(parsed).Set(in.opts.TenantKey, tenant).Labels().String()
	in.labels.Add(key, stored)
	return stored, nil
}

// What a stream's labels may be. They are below what the embedded Loki takes
// (relay/engine/config), so that what we acknowledge it doesn't refuse; the last
// two are Loki's own defaults.
const (
	maxLabelsBytes     = 64 << 10
	maxLabels          = 38
	maxLabelNameBytes  = 1024
	maxLabelValueBytes = 2048
)

func checkLabels(stream labels.Labels) error {
	switch n := stream.Len(); {
	case n == 0:
		return fault.New(fault.Invalid, "error at least one label pair is required per stream")
	case n > maxLabels:
		return fault.New(fault.Invalid, fmt.Sprintf("entry for stream '%s' has %d label names; limit %d", stream, n, maxLabels))
	}
	return stream.Validate(func(l labels.Label) error {
		if len(l.Name) > maxLabelNameBytes {
			return fault.New(fault.Invalid, fmt.Sprintf("stream has a label name too long: '%.100s…'", l.Name))
		}
		if len(l.Value) > maxLabelValueBytes {
			return fault.New(fault.Invalid, fmt.Sprintf("stream has a label value too long: '%.100s…' of label '%s'", l.Value, l.Name))
		}
		return nil
	})
}

// jsonPush is the JSON form of a push request; see "Ingest logs" in Loki's HTTP
// API documentation. A value is [ "nanoseconds", "line" ] or
// [ "nanoseconds", "line", {structured metadata} ].
type jsonPush struct {
	Streams []struct {
		Stream map[string]string `json:"stream"`
		Values []jsonEntry       `json:"values"`
	} `json:"streams"`
}

func decodeJSONPush(body []byte) (*push.PushRequest, error) {
	var in jsonPush
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fault.New(fault.Invalid, "the request is not a push request in JSON: "+err.Error())
	}
	req := &push.PushRequest{Streams: make([]push.Stream, len(in.Streams))}
	for i, s := range in.Streams {
		entries := make([]push.Entry, len(s.Values))
		for j, v := range s.Values {
			entries[j] = push.Entry(v)
		}
		req.Streams[i] = push.Stream{Labels: labels.FromMap(s.Stream).String(), Entries: entries}
	}
	return req, nil
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
