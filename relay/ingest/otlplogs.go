package ingest

import (
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invoscope/invoscope/relay/fault"
)

// indexAttributes are the resource attributes that become stream labels: the
// default of Loki 3.7's own OTLP endpoint
// (distributor.otlp_config.default_resource_attributes_as_index_labels).
var indexAttributes = []string{
	"service.name", "service.namespace", "service.instance.id",
	"deployment.environment", "deployment.environment.name",
	"cloud.region", "cloud.availability_zone",
	"k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name",
	"k8s.container.name", "container.name",
	"k8s.replicaset.name", "k8s.deployment.name", "k8s.statefulset.name",
	"k8s.daemonset.name", "k8s.cronjob.name", "k8s.job.name",
}

// The published queries select Restate's logs by this label, which OTLP senders
// know as the attribute k8s.container.name.
const (
	attributeContainer = "k8s.container.name"
	labelContainer     = "kubernetes_container_name"
)

// storeLogs stores OTLP log records as Loki's own OTLP endpoint would: some resource
// attributes become labels, every other attribute structured metadata, the body
// the line.
func (in *Ingest) storeLogs(ctx context.Context, tenant string, logs plog.Logs) error {
	streams := map[string]*push.Stream{}
	room := maxGrowth * in.opts.MaxBytes
	for _, rl := range logs.ResourceLogs().All() {
		stream, shared, err := in.resourceStream(streams, tenant, rl.Resource())
		if err != nil {
			return err
		}
		for _, sl := range rl.ScopeLogs().All() {
			common, err := appendScope(slices.Clone(shared), sl.Scope())
			if err != nil {
				return err
			}
			for _, record := range sl.LogRecords().All() {
				entry, err := in.entry(record, common)
				if err != nil {
					return err
				}
				if room -= entrySize(entry); room < 0 {
					return fault.New(fault.TooLarge, "the records are too large together with the attributes that they share")
				}
				stream.Entries = append(stream.Entries, entry)
			}
		}
	}
	req := &push.PushRequest{}
	for _, s := range streams {
		req.Streams = append(req.Streams, *s)
	}
	return in.appendStreams(ctx, tenant, req)
}

// maxGrowth is how much larger than its limit a request may become: each record
// repeats the attributes of its resource and scope.
const maxGrowth = 4

func entrySize(e push.Entry) int64 {
	n := len(e.Line)
	for _, l := range e.StructuredMetadata {
		n += len(l.Name) + len(l.Value)
	}
	return int64(n)
}

// resourceStream returns the stream that a resource's records belong to, and the
// resource's attributes that are structured metadata.
func (in *Ingest) resourceStream(streams map[string]*push.Stream, tenant string, res pcommon.Resource) (*push.Stream, push.LabelsAdapter, error) {
	var shared push.LabelsAdapter
	b := labels.NewBuilder(labels.EmptyLabels())
	for name, value := range res.Attributes().All() {
		flat, err := flatten(nil, "", name, value)
		if err != nil {
			return nil, nil, err
		}
		if !slices.Contains(indexAttributes, name) {
			shared = append(shared, flat...)
			continue
		}
		for _, l := range flat {
			b.Set(l.Name, l.Value)
		}
	}
	if container, ok := res.Attributes().Get(attributeContainer); ok {
		b.Set(labelContainer, container.AsString())
	}
	b.Set(in.opts.TenantKey, tenant)
	if err := checkLabels(b.Labels()); err != nil {
		return nil, nil, err
	}
	stored := b.Labels().String()
	if streams[stored] == nil {
		streams[stored] = &push.Stream{Labels: stored}
	}
	return streams[stored], shared, nil
}

func appendScope(meta push.LabelsAdapter, scope pcommon.InstrumentationScope) (push.LabelsAdapter, error) {
	var err error
	for name, value := range scope.Attributes().All() {
		if meta, err = flatten(meta, "", name, value); err != nil {
			return nil, err
		}
	}
	meta = appendText(meta, "scope_name", scope.Name())
	meta = appendText(meta, "scope_version", scope.Version())
	return appendNumber(meta, "scope_dropped_attributes_count", uint64(scope.DroppedAttributesCount())), nil
}

// entry turns a record into an entry whose structured metadata ends with common.
func (in *Ingest) entry(r plog.LogRecord, common push.LabelsAdapter) (push.Entry, error) {
	meta := make(push.LabelsAdapter, 0, r.Attributes().Len()+len(common)+8)
	var err error
	for name, value := range r.Attributes().All() {
		if meta, err = flatten(meta, "", name, value); err != nil {
			return push.Entry{}, err
		}
	}
	if r.Timestamp() != 0 {
		meta = appendNumber(meta, "observed_timestamp", uint64(r.ObservedTimestamp()))
	}
	meta = appendNumber(meta, "severity_number", uint64(r.SeverityNumber()))
	meta = appendText(meta, "severity_text", r.SeverityText())
	meta = appendNumber(meta, "dropped_attributes_count", uint64(r.DroppedAttributesCount()))
	meta = appendNumber(meta, "flags", uint64(r.Flags()))
	if id := r.TraceID(); !id.IsEmpty() {
		meta = appendText(meta, "trace_id", hex.EncodeToString(id[:]))
	}
	if id := r.SpanID(); !id.IsEmpty() {
		meta = appendText(meta, "span_id", hex.EncodeToString(id[:]))
	}
	return push.Entry{Timestamp: in.recordTime(r), Line: r.Body().AsString(), StructuredMetadata: append(meta, common...)}, nil
}

// recordTime is when the record says it happened, else when it was observed,
// else now.
func (in *Ingest) recordTime(r plog.LogRecord) time.Time {
	for _, t := range []pcommon.Timestamp{r.Timestamp(), r.ObservedTimestamp()} {
		if t != 0 {
			return t.AsTime()
		}
	}
	return in.opts.Now()
}

func appendText(meta push.LabelsAdapter, name, value string) push.LabelsAdapter {
	if value == "" {
		return meta
	}
	return append(meta, push.LabelAdapter{Name: name, Value: value})
}

func appendNumber(meta push.LabelsAdapter, name string, value uint64) push.LabelsAdapter {
	if value == 0 {
		return meta
	}
	return append(meta, push.LabelAdapter{Name: name, Value: strconv.FormatUint(value, 10)})
}

// flatten appends an attribute as labels: its name as a Prometheus label name, a
// map as one label for each leaf, joined by underscores.
func flatten(meta push.LabelsAdapter, prefix, name string, value pcommon.Value) (push.LabelsAdapter, error) {
	if prefix != "" {
		name = prefix + "_" + name
	}
	namer := otlptranslator.LabelNamer{}
	label, err := namer.Build(name)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the attribute "+strconv.Quote(name)+" can't be a label: "+err.Error())
	}
	if value.Type() != pcommon.ValueTypeMap {
		return append(meta, push.LabelAdapter{Name: label, Value: value.AsString()}), nil
	}
	for name, value := range value.Map().All() {
		if meta, err = flatten(meta, label, name, value); err != nil {
			return nil, err
		}
	}
	return meta, nil
}
