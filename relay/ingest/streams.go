package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/queue"
)

// The structured metadata that we add; queries and provisioning depend on these
// names.
const (
	metaInvocationID = "restate_invocation_id"
	metaRelated      = "restate_related_invocation_ids" // comma-separated
	metaTarget       = "restate_invocation_target"
	metaLevel        = "level"
)

// maxMetadata bounds the labels of one entry: what Loki does with them grows with
// the square of their number.
const maxMetadata = 1000

// appendStreams enriches, encodes and stores the entries of a request.
func (in *Ingest) appendStreams(ctx context.Context, tenant string, req *push.PushRequest) error {
	entries, bytes := 0, 0
	var facts correlate.Facts
	for i := range req.Streams {
		for j := range req.Streams[i].Entries {
			e := &req.Streams[i].Entries[j]
			if len(e.StructuredMetadata) > maxMetadata {
				return fault.New(fault.Invalid, fmt.Sprintf("an entry has %d structured metadata labels; limit %d", len(e.StructuredMetadata), maxMetadata))
			}
			facts.Extract(e.Line)
			in.enrich(e, &facts)
			entries++
			bytes += len(e.Line)
		}
	}
	if entries == 0 {
		return nil
	}
	raw, err := req.Marshal()
	if err != nil {
		return err
	}
	if err := store(ctx, in.opts.Logs, tenant, queue.Request{Body: s2.EncodeSnappy(nil, raw), Items: entries}); err != nil {
		return err
	}
	in.metrics.accepted.WithLabelValues("logs").Add(float64(entries))
	in.metrics.acceptedBytes.WithLabelValues("logs").Add(float64(bytes))
	return nil
}

// enrich adds to an entry the facts of its line. What we find replaces what the
// sender gave under the same name, but for the level: the sender may know it
// better.
func (in *Ingest) enrich(e *push.Entry, facts *correlate.Facts) {
	meta := slices.DeleteFunc(e.StructuredMetadata, func(l push.LabelAdapter) bool { return l.Name == in.opts.TenantKey })
	if facts.InvocationID != "" {
		meta = set(meta, metaInvocationID, facts.InvocationID)
	}
	if len(facts.Related) > 0 {
		meta = set(meta, metaRelated, strings.Join(facts.Related, ","))
	}
	if facts.Target != "" {
		meta = set(meta, metaTarget, facts.Target)
	}
	if facts.Level != "" && !has(meta, metaLevel) {
		meta = append(meta, push.LabelAdapter{Name: metaLevel, Value: facts.Level})
	}
	e.StructuredMetadata = meta
}

func has(meta push.LabelsAdapter, name string) bool {
	return slices.ContainsFunc(meta, func(l push.LabelAdapter) bool { return l.Name == name })
}

// set replaces every label of the name by one.
func set(meta push.LabelsAdapter, name, value string) push.LabelsAdapter {
	meta = slices.DeleteFunc(meta, func(l push.LabelAdapter) bool { return l.Name == name })
	return append(meta, push.LabelAdapter{Name: name, Value: value})
}
