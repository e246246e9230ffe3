package ingest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
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
	records := referenceRecords{}
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
			records.enrich(in, of.labels, e)
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

// referenceRecords are the facts of the last record of each stream, by its labels.
type referenceRecords map[string]correlate.Facts

var (
	targetField = regexp.MustCompile(`(?s)^(?:\x1b\[[0-9;]*m)*[=:] *(?:\x1b\[[0-9;]*m)*("?)(.*)$`)
	targetEnd   = regexp.MustCompile(`[\x00-\x1f]| [A-Za-z0-9_.]+=`)
)

// referenceTarget is the target that stands alone on a line.
func referenceTarget(line string) string {
	_, rest, _ := strings.Cut(line, "restate.invocation.target")
	m := targetField.FindStringSubmatch(rest)
	if m == nil {
		return ""
	}
	if m[1] != "" {
		value, _, _ := strings.Cut(m[2], `"`)
		return value
	}
	return targetEnd.Split(m[2], 2)[0]
}

func (records referenceRecords) enrich(in *Ingest, stream string, e *push.Entry) {
	given := func(names ...string) (value string) {
		for _, l := range e.StructuredMetadata {
			if slices.Contains(names, l.Name) {
				value = l.Value + " "
			}
		}
		return value
	}
	set := func(meta push.LabelsAdapter, name, value string) push.LabelsAdapter {
		if value == "" {
			return meta
		}
		meta = slices.DeleteFunc(meta, func(l push.LabelAdapter) bool { return l.Name == name })
		return append(meta, push.LabelAdapter{Name: name, Value: value})
	}
	var facts correlate.Facts
	facts.Extract(e.Line)
	if in.opts.ContinuationLines {
		if correlate.Begins(e.Line) || given("restate_invocation_id", "level", "trace_id", "severity_number", "severity_text") != "" {
			records[stream] = facts
		} else {
			record := records[stream]
			if facts.InvocationID == "" && record.InvocationID != "" && record.Target == "" {
				facts.Target = referenceTarget(e.Line)
			}
			facts, records[stream] = referenceContinue(facts, record)
		}
	}
	meta := slices.DeleteFunc(e.StructuredMetadata, func(l push.LabelAdapter) bool { return l.Name == "tenant" })
	meta = set(meta, "restate_invocation_id", facts.InvocationID)
	meta = set(meta, "restate_related_invocation_ids", strings.Join(facts.Related, ","))
	meta = set(meta, "restate_invocation_target", facts.Target)
	meta = set(meta, "restate_error_code", facts.ErrorCode)
	meta = set(meta, "restate_retry_count", facts.RetryCount)
	e.StructuredMetadata = meta
	if given("level") == "" {
		meta = set(meta, "level", facts.Level)
	}
	if in.opts.TraceOf != nil && given("trace_id") == "" {
		id := strings.TrimSuffix(given("restate_invocation_id"), " ")
		if _, err := correlate.ParseInvocationID(id); err == nil {
			if trace := in.opts.TraceOf(referenceTenant, id); trace.Until == 0 || !e.Timestamp.After(time.Unix(0, trace.Until)) {
				meta = set(meta, "trace_id", trace.ID)
			}
		}
	}
	e.StructuredMetadata = meta
}

// referenceContinue returns the facts of a line that continues a record, and what is
// then known of the record.
func referenceContinue(line, record correlate.Facts) (_, _ correlate.Facts) {
	or := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	known := correlate.Facts{
		InvocationID: or(record.InvocationID, line.InvocationID), Target: or(record.Target, line.Target), Level: or(record.Level, line.Level),
		ErrorCode: or(record.ErrorCode, line.ErrorCode), RetryCount: or(record.RetryCount, line.RetryCount),
	}
	if known.Related = record.Related; len(record.Related) == 0 {
		known.Related = line.Related
	}
	line.Level = or(line.Level, known.Level)
	if line.InvocationID != "" && line.InvocationID != known.InvocationID {
		record.Level = known.Level
		return line, record
	}
	line.InvocationID, line.Target = known.InvocationID, or(line.Target, known.Target)
	line.ErrorCode, line.RetryCount = or(line.ErrorCode, known.ErrorCode), or(line.RetryCount, known.RetryCount)
	if len(line.Related) == 0 {
		line.Related = known.Related
	}
	return line, known
}

// referenceLogs returns what is stored of an ExportLogsServiceRequest.
func referenceLogs(in *Ingest, body []byte) ([]push.Stream, error) {
	req := plogotlp.NewExportRequest()
	if err := req.UnmarshalProto(body); err != nil {
		return nil, err
	}
	var streams []push.Stream
	records := referenceRecords{}
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
				records.enrich(in, stream.Labels, &e)
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
