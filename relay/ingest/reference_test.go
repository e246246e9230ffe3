package ingest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/correlate"
)

// What follows does with decoded messages what the package does with encoded
// ones: slower, and plain to see. It knows nothing of limits.

const referenceTenant = "acme"

var errReference = errors.New("the reference doesn't take it")

// referencePush returns what is stored of a snappy-compressed push.PushRequest.
func referencePush(in *Ingest, body []byte) ([]push.Stream, error) {
	raw, err := s2.Decode(nil, body)
	if err != nil {
		return nil, err
	}
	var req push.PushRequest
	if err := req.Unmarshal(raw); err != nil {
		return nil, err
	}
	var stored []push.Stream
	for _, s := range req.Streams {
		if len(s.Entries) == 0 {
			continue
		}
		of, err := in.sentStream(referenceTenant, []byte(s.Labels))
		if err != nil {
			return nil, err
		}
		var previous time.Time
		for i := range s.Entries {
			e := &s.Entries[i]
			if e.Timestamp.IsZero() || e.Timestamp.Equal(time.Unix(0, 0)) {
				if e.Timestamp = previous.Add(1); previous.IsZero() {
					e.Timestamp = in.opts.Now()
				}
			}
			if e.Timestamp.Year() < 1700 || e.Timestamp.Year() > 2200 {
				return nil, errReference
			}
			previous = e.Timestamp
			namer := otlptranslator.LabelNamer{}
			for j := range e.StructuredMetadata {
				l := &e.StructuredMetadata[j]
				if l.Name, err = namer.Build(l.Name); err != nil {
					return nil, err
				}
			}
			referenceEnrich(e)
		}
		stored = append(stored, push.Stream{Labels: of.labels, Entries: s.Entries})
	}
	return merge(stored), nil
}

// merge puts the entries of streams with the same labels together and sorts.
func merge(streams []push.Stream) []push.Stream {
	var merged []push.Stream
	for _, s := range streams {
		i := slices.IndexFunc(merged, func(m push.Stream) bool { return m.Labels == s.Labels })
		if i < 0 {
			merged = append(merged, s)
			continue
		}
		merged[i].Entries = append(merged[i].Entries, s.Entries...)
	}
	for i := range merged {
		for j := range merged[i].Entries {
			e := &merged[i].Entries[j]
			e.Timestamp, e.Parsed = e.Timestamp.UTC(), nil
			if len(e.StructuredMetadata) == 0 {
				e.StructuredMetadata = nil
			}
		}
	}
	slices.SortFunc(merged, func(a, b push.Stream) int { return strings.Compare(a.Labels, b.Labels) })
	return merged
}

func referenceEnrich(e *push.Entry) {
	var facts correlate.Facts
	facts.Extract(e.Line)
	set := func(meta push.LabelsAdapter, name, value string) push.LabelsAdapter {
		if value == "" {
			return meta
		}
		meta = slices.DeleteFunc(meta, func(l push.LabelAdapter) bool { return l.Name == name })
		return append(meta, push.LabelAdapter{Name: name, Value: value})
	}
	meta := slices.DeleteFunc(e.StructuredMetadata, func(l push.LabelAdapter) bool { return l.Name == "tenant" })
	meta = set(meta, metaInvocationID, facts.InvocationID)
	meta = set(meta, metaRelated, strings.Join(facts.Related, ","))
	meta = set(meta, metaTarget, facts.Target)
	if !slices.ContainsFunc(meta, func(l push.LabelAdapter) bool { return l.Name == metaLevel }) {
		meta = set(meta, metaLevel, facts.Level)
	}
	e.StructuredMetadata = meta
}

// referenceLogs returns what is stored of an ExportLogsServiceRequest.
func referenceLogs(in *Ingest, body []byte) ([]push.Stream, error) {
	req := plogotlp.NewExportRequest()
	if err := req.UnmarshalProto(body); err != nil {
		return nil, err
	}
	var streams []push.Stream
	for _, rl := range req.Logs().ResourceLogs().All() {
		stream, shared, err := referenceResource(rl.Resource())
		if err != nil {
			return nil, err
		}
		for _, sl := range rl.ScopeLogs().All() {
			common, err := referenceScope(slices.Clone(shared), sl.Scope())
			if err != nil {
				return nil, err
			}
			var previous int64
			dated := false
			for _, r := range sl.LogRecords().All() {
				e := push.Entry{Line: r.Body().AsString()}
				switch {
				case r.Timestamp() != 0:
					previous, dated = int64(r.Timestamp()), true
				case dated:
					previous++
				case r.ObservedTimestamp() != 0:
					previous = int64(r.ObservedTimestamp())
				case previous != 0:
					previous++
				default:
					previous = in.opts.Now().UnixNano()
				}
				if previous < 0 {
					return nil, errReference
				}
				e.Timestamp = time.Unix(0, previous)
				if e.StructuredMetadata, err = referenceRecord(r, dated); err != nil {
					return nil, err
				}
				e.StructuredMetadata = append(e.StructuredMetadata, common...)
				referenceEnrich(&e)
				stream.Entries = append(stream.Entries, e)
			}
		}
		if len(stream.Entries) > 0 {
			streams = append(streams, stream)
		}
	}
	return merge(streams), nil
}

func referenceResource(res pcommon.Resource) (push.Stream, push.LabelsAdapter, error) {
	var shared push.LabelsAdapter
	b := labels.NewBuilder(labels.EmptyLabels())
	for name, value := range res.Attributes().All() {
		flat, err := referenceFlatten(nil, "", name, value)
		if err != nil {
			return push.Stream{}, nil, err
		}
		if !indexAttributes[name] {
			shared = append(shared, flat...)
			continue
		}
		for _, l := range flat {
			b.Set(l.Name, l.Value)
		}
	}
	for _, name := range []string{"k8s_container_name", "container_name"} {
		if container := strings.TrimPrefix(b.Get(name), "/"); container != "" && b.Get(labelContainer) == "" {
			b.Set(labelContainer, container)
		}
	}
	b.Set("tenant", referenceTenant)
	return push.Stream{Labels: b.Labels().String()}, shared, nil
}

func referenceScope(meta push.LabelsAdapter, scope pcommon.InstrumentationScope) (push.LabelsAdapter, error) {
	var err error
	for name, value := range scope.Attributes().All() {
		if meta, err = referenceFlatten(meta, "", name, value); err != nil {
			return nil, err
		}
	}
	return referenceText(meta, "scope_name", scope.Name(), "scope_version", scope.Version(),
		"scope_dropped_attributes_count", number(uint64(scope.DroppedAttributesCount()))), nil
}

func referenceRecord(r plog.LogRecord, dated bool) (push.LabelsAdapter, error) {
	var meta push.LabelsAdapter
	var err error
	for name, value := range r.Attributes().All() {
		if meta, err = referenceFlatten(meta, "", name, value); err != nil {
			return nil, err
		}
	}
	if dated {
		meta = referenceText(meta, "observed_timestamp", number(uint64(r.ObservedTimestamp())))
	}
	meta = referenceText(meta, "severity_number", number(uint64(r.SeverityNumber())), "severity_text", r.SeverityText(),
		"dropped_attributes_count", number(uint64(r.DroppedAttributesCount())), "flags", number(uint64(r.Flags())))
	if id := r.TraceID(); !id.IsEmpty() {
		meta = referenceText(meta, "trace_id", hex.EncodeToString(id[:]))
	}
	if id := r.SpanID(); !id.IsEmpty() {
		meta = referenceText(meta, "span_id", hex.EncodeToString(id[:]))
	}
	return meta, nil
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func referenceText(meta push.LabelsAdapter, pairs ...string) push.LabelsAdapter {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			meta = append(meta, push.LabelAdapter{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	return meta
}

func referenceFlatten(meta push.LabelsAdapter, prefix, name string, value pcommon.Value) (push.LabelsAdapter, error) {
	if prefix != "" {
		name = prefix + "_" + name
	}
	namer := otlptranslator.LabelNamer{}
	label, err := namer.Build(name)
	if err != nil {
		return nil, fmt.Errorf("name a label: %w", err)
	}
	if value.Type() != pcommon.ValueTypeMap {
		return append(meta, push.LabelAdapter{Name: label, Value: value.AsString()}), nil
	}
	for name, value := range value.Map().All() {
		if meta, err = referenceFlatten(meta, label, name, value); err != nil {
			return nil, err
		}
	}
	return meta, nil
}

// referenceTraces returns what is stored of an ExportTraceServiceRequest.
func referenceTraces(body []byte) (ptrace.Traces, error) {
	req := ptraceotlp.NewExportRequest()
	if err := req.UnmarshalProto(body); err != nil {
		return req.Traces(), err
	}
	traces := req.Traces()
	forged := func(name string, _ pcommon.Value) bool { return name == "tenant" }
	traces.ResourceSpans().RemoveIf(func(rs ptrace.ResourceSpans) bool {
		rs.Resource().Attributes().RemoveIf(forged)
		rs.Resource().Attributes().PutStr("tenant", referenceTenant)
		rs.ScopeSpans().RemoveIf(func(ss ptrace.ScopeSpans) bool {
			ss.Scope().Attributes().RemoveIf(forged)
			ss.Spans().RemoveIf(func(s ptrace.Span) bool {
				s.Attributes().RemoveIf(forged)
				return s.TraceID().IsEmpty() || s.SpanID().IsEmpty()
			})
			return ss.Spans().Len() == 0
		})
		return rs.ScopeSpans().Len() == 0
	})
	return traces, nil
}
