package ingest

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/invoscope/invoscope/internal/wire"
	"github.com/invoscope/invoscope/relay/fault"
)

// labelsKey names a stream by what its sender wrote.
type labelsKey struct{ tenant, sent string }

// stream is what becomes of it.
type stream struct {
	labels  string
	dropped bool // by relabelling
}

// sentStream returns the stream of a Loki sender by its labels.
func (in *Ingest) sentStream(tenant string, sent []byte) (stream, error) {
	if s, ok := in.streams.Get(labelsKey{tenant, wire.Text(sent)}); ok {
		return s, nil
	}
	if len(sent) > maxLabelsBytes {
		return stream{}, fault.New(fault.Invalid, fmt.Sprintf("stream labels of %d bytes exceed the limit of %d", len(sent), maxLabelsBytes))
	}
	key := labelsKey{tenant, string(sent)} // outlives the request
	parsed := labels.EmptyLabels()
	if key.sent != "" {
		var err error
		if parsed, err = in.parser.ParseMetric(key.sent); err != nil {
			return stream{}, fault.New(fault.Invalid, fmt.Sprintf("error parsing labels '%s' with error: %s", key.sent, err))
		}
	}
	if name, twice := parsed.HasDuplicateLabelNames(); twice {
		return stream{}, fault.New(fault.Invalid, fmt.Sprintf("stream '%s' has duplicate label name: '%s'", key.sent, name))
	}
	return in.newStream(key, labels.NewBuilder(parsed))
}

// newStream relabels a stream and remembers what comes out: sorted, without empty
// labels, and with the tenant's name whatever the sender or a rule said.
func (in *Ingest) newStream(key labelsKey, b *labels.Builder) (stream, error) {
	b.Set(in.opts.TenantKey, key.tenant)
	if err := checkLabels(b.Labels(), maxLabels+1); err != nil {
		return stream{}, err
	}
	s := stream{dropped: !relabel.ProcessBuilder(b, in.opts.Relabel...)}
	if !s.dropped {
		stored := b.Set(in.opts.TenantKey, key.tenant).Labels()
		if err := checkLabels(stored, maxLabels+2); err != nil {
			return stream{}, err
		}
		s.labels = stored.String()
	}
	if len(key.sent) <= cachedBytes {
		in.streams.Add(key, s)
	}
	return s, nil
}

// What a stream's labels may be. They are below what the embedded Loki takes
// (relay/engine/config), so that what we acknowledge it doesn't refuse; the last
// two are Loki's own defaults. The tenant's label and one from a preset come on top.
const (
	maxLabelsBytes     = 64 << 10
	maxLabels          = 38
	maxLabelNameBytes  = 1024
	maxLabelValueBytes = 2048
)

func checkLabels(stream labels.Labels, limit int) error {
	if n := stream.Len(); n > limit {
		return fault.New(fault.Invalid, fmt.Sprintf("entry for stream '%s' has %d label names; limit %d", stream, n-1, maxLabels))
	}
	return stream.Validate(func(l labels.Label) error {
		switch {
		case len(l.Name) > maxLabelNameBytes:
			return fault.New(fault.Invalid, fmt.Sprintf("stream has a label name too long: '%.100s…'", l.Name))
		case !isLabelName(l.Name):
			// Loki 3.7.8 stores it, and then answers no query that meets the stream.
			return fault.New(fault.Invalid, fmt.Sprintf("stream '%s' has a label name that LogQL can't read: '%s'", stream, l.Name))
		case len(l.Value) > maxLabelValueBytes:
			return fault.New(fault.Invalid, fmt.Sprintf("stream has a label value too long: '%.100s…' of label '%s'", l.Value, l.Name))
		}
		return nil
	})
}

// isLabelName reports whether a name is one to LogQL: letters, digits and
// underscores, no digit first, and not of underscores alone.
func isLabelName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return strings.Trim(name, "_") != ""
}
