package ingest

import (
	"encoding/hex"
	"math"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/internal/wire"
)

// indexAttributes are the resource attributes that become stream labels: the
// default of Loki 3.7's own OTLP endpoint
// (distributor.otlp_config.default_resource_attributes_as_index_labels).
var indexAttributes = map[string]bool{
	"service.name": true, "service.namespace": true, "service.instance.id": true,
	"deployment.environment": true, "deployment.environment.name": true,
	"cloud.region": true, "cloud.availability_zone": true,
	"k8s.cluster.name": true, "k8s.namespace.name": true, "k8s.pod.name": true,
	"k8s.container.name": true, "container.name": true,
	"k8s.replicaset.name": true, "k8s.deployment.name": true, "k8s.statefulset.name": true,
	"k8s.daemonset.name": true, "k8s.cronjob.name": true, "k8s.job.name": true,
}

// otlp reads an ExportLogsServiceRequest into streams as Loki's own OTLP endpoint
// would: some resource attributes become labels, every other attribute structured
// metadata, the body the line. What it keeps of the request are references.
func (b *logBatch) otlpLogs(body []byte) error {
	f := wire.Fields{Body: body}
	for f.Next() {
		switch {
		case f.Number != 1: // resource_logs
		case f.Kind != protowire.BytesType:
			return errNotOTLP
		default:
			if err := b.resourceLogs(f.Content); err != nil {
				return err
			}
		}
	}
	if f.Broken {
		return errNotOTLP
	}
	return nil
}

func (b *logBatch) resourceLogs(body []byte) error {
	c, worst := readContainer(body, resourceMessage)
	if err := worst.fatal(); err != nil {
		return err
	}
	if worst != sound {
		b.refused.add(worst.reason(), c.countItems(body), nil)
		return nil
	}
	s, why, err := b.resourceStream(c.head)
	switch {
	case err != nil:
		return err
	case why != reason{}:
		b.refused.add(why, c.countItems(body), nil)
		return nil
	case s.dropped:
		b.dropped += c.countItems(body)
		return nil
	}
	b.begin(s.labels)
	f := wire.Fields{Body: body}
	for f.Next() {
		if f.Is(c.members) {
			if err := b.scopeLogs(f.Content); err != nil {
				return err
			}
		}
	}
	return nil
}

// resourceStream returns the stream that a resource's records belong to, or why
// they don't. Its attributes that are structured metadata are then the shared ones.
func (b *logBatch) resourceStream(resource []byte) (stream, reason, error) {
	o := &b.otlp
	o.index, o.shared, o.key = o.index[:0], o.shared[:0], append(o.key[:0], 0) // unlike any labels that are sent
	f := wire.Fields{Body: resource}
	for f.Next() {
		if !f.Is(1) { // attributes
			continue
		}
		key, v := readPair(f.Content)
		into := &o.shared
		if indexAttributes[wire.Text(key)] {
			into = &o.index
		}
		var ok bool
		var err error
		if *into, ok, err = o.flattenValue(*into, "", wire.Text(key), &v); err != nil || !ok {
			return stream{}, reasonAttribute, err
		}
	}
	for _, l := range o.index {
		// Neither byte is in any UTF-8 text.
		o.key = append(append(append(append(o.key, l.name...), 0xfe), l.value...), 0xff)
	}
	if s, ok := b.in.streams.Get(labelsKey{b.tenant, wire.Text(o.key)}); ok {
		return s, reason{}, nil
	}
	key := labelsKey{b.tenant, string(o.key)} // outlives the request
	builder := labels.NewBuilder(labels.EmptyLabels())
	for _, l := range o.index {
		builder.Set(l.name, l.value)
	}
	s, err := b.in.newStream(key, builder)
	if err != nil {
		return stream{}, reasonLabels, nil
	}
	return s, reason{}, nil
}

func (b *logBatch) scopeLogs(body []byte) error {
	c, worst := readContainer(body, scopeMessage)
	if err := worst.fatal(); err != nil {
		return err
	}
	if worst != sound {
		b.refused.add(worst.reason(), countMembers(body), nil)
		return nil
	}
	o := &b.otlp
	ofResource := len(o.shared)
	defer func() { o.shared = o.shared[:ofResource] }()
	if ok, err := o.addScope(c.head); err != nil || !ok {
		b.refused.add(reasonAttribute, countMembers(body), nil)
		return err
	}
	if len(o.shared) > maxMetadata { // before each record copies them
		b.refused.add(reasonMetadata, countMembers(body), nil)
		return nil
	}
	o.previous, o.dated = noTime, false
	f := wire.Fields{Body: body}
	for f.Next() {
		if f.Is(fieldMembers) {
			if err := b.record(f.Content); err != nil {
				return err
			}
		}
	}
	return nil
}

// addScope adds a scope to what the records share.
func (o *otlpScratch) addScope(scope []byte) (ok bool, err error) {
	var name, version []byte
	var dropped uint64
	f := wire.Fields{Body: scope}
	for f.Next() {
		switch f.Number {
		case 1:
			name = f.Content
		case 2:
			version = f.Content
		case 3:
			if o.shared, ok, err = o.flatten(o.shared, "", f.Content); err != nil || !ok {
				return ok, err
			}
		case 4:
			dropped = uint64(uint32(f.Value)) // as decoders do
		}
	}
	o.shared = appendText(o.shared, "scope_name", wire.Text(name))
	o.shared = appendText(o.shared, "scope_version", wire.Text(version))
	o.shared = o.appendNumber(o.shared, "scope_dropped_attributes_count", dropped)
	return true, nil
}

// recordBody is the number of LogRecord.body.
const recordBody = 5

// logRecord holds the fields of a LogRecord that aren't attributes.
type logRecord struct {
	time, observed           uint64
	severity, dropped, flags uint64
	severityText             []byte
	body                     value
	traceID, spanID          []byte
}

// record adds a LogRecord to the current stream.
func (b *logBatch) record(body []byte) error {
	if worst := recordMessage.check(body); worst != sound {
		b.refused.add(worst.reason(), 1, nil)
		return worst.fatal()
	}
	o := &b.otlp
	meta := b.meta[:0]
	var r logRecord
	f := wire.Fields{Body: body}
	for f.Next() {
		if f.Number != 6 { // attributes
			r.set(&f)
			continue
		}
		var ok bool
		var err error
		if meta, ok, err = o.flatten(meta, "", f.Content); err != nil || !ok {
			b.refused.add(reasonAttribute, 1, nil)
			return err
		}
	}
	line, err := o.text(&r.body)
	if err != nil {
		return err
	}
	b.entry = entry{time: b.recordTime(&r), line: line, meta: append(o.appendRecord(meta, &r), o.shared...)}
	b.meta = b.entry.meta
	return b.add(&b.entry)
}

func (r *logRecord) set(f *wire.Fields) {
	switch f.Number {
	case 1:
		r.time = f.Value
	case 2:
		r.severity = uint64(int32(f.Value)) // an enum is signed
	case 3:
		r.severityText = f.Content
	case recordBody:
		r.body.read(f.Content)
	case 7:
		r.dropped = uint64(uint32(f.Value)) // as decoders do
	case 8:
		r.flags = f.Value
	case 9:
		r.traceID = f.Content
	case 10:
		r.spanID = f.Content
	case 11:
		r.observed = f.Value
	}
}

func (o *otlpScratch) appendRecord(meta []label, r *logRecord) []label {
	if r.time != 0 || o.dated {
		meta = o.appendNumber(meta, "observed_timestamp", r.observed)
	}
	meta = o.appendNumber(meta, "severity_number", r.severity)
	meta = appendText(meta, "severity_text", wire.Text(r.severityText))
	meta = o.appendNumber(meta, "dropped_attributes_count", r.dropped)
	meta = o.appendNumber(meta, "flags", r.flags)
	meta = o.appendID(meta, correlate.MetaTraceID, r.traceID, traceIDSize)
	return o.appendID(meta, "span_id", r.spanID, spanIDSize)
}

func (o *otlpScratch) appendNumber(meta []label, name string, number uint64) []label {
	if number == 0 {
		return meta
	}
	start := len(o.printed)
	o.printed = strconv.AppendUint(o.printed, number, 10)
	return append(meta, label{name, wire.Text(o.printed[start:])})
}

// appendID leaves out an id that is none; see LogRecord.trace_id.
func (o *otlpScratch) appendID(meta []label, name string, id []byte, size int) []label {
	if len(id) != size || isZero(id) {
		return meta
	}
	start := len(o.printed)
	o.printed = hex.AppendEncode(o.printed, id)
	return append(meta, label{name, wire.Text(o.printed[start:])})
}

// recordTime is when the record says it happened. One that doesn't say stands
// behind the record before it, when that one says: it may have come much later,
// as the rest of a stack trace read from an old file. Else it is when the record
// was observed, else now.
func (b *logBatch) recordTime(r *logRecord) int64 {
	o := &b.otlp
	switch {
	case r.time != 0:
		o.previous, o.dated = int64(min(r.time, math.MaxInt64)), true // it fits
	case !o.dated && r.observed != 0:
		o.previous = int64(min(r.observed, math.MaxInt64)) // it fits
	default:
		o.previous = b.following(o.previous)
	}
	return o.previous
}

func isZero(id []byte) bool {
	for _, c := range id {
		if c != 0 {
			return false
		}
	}
	return true
}
