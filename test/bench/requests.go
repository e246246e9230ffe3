package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// request is one encoded request.
type request struct {
	body  []byte
	bytes int // of log lines; of the encoded spans for traces
}

// pods is how many streams the lines are spread over.
const pods = 8

// encodeRequests prepares distinct requests of batch items each, until they hold
// room bytes.
func encodeRequests(recordings, protocol string, batch, room int) ([]request, error) {
	var next func() (request, error)
	switch protocol {
	case lokiPush, logsHTTP, logsGRPC:
		lines, err := recordedLines(recordings)
		if err != nil {
			return nil, err
		}
		source := &lineSource{lines: lines, at: time.Now()}
		next = func() (request, error) { return source.otlp(batch) }
		if protocol == lokiPush {
			next = func() (request, error) { return source.loki(batch) }
		}
	case tracesHTTP, tracesGRPC:
		spans, err := recordedSpans(recordings)
		if err != nil {
			return nil, err
		}
		next = func() (request, error) { return spans.otlp(batch) }
	default:
		return nil, fmt.Errorf("unknown protocol %q", protocol)
	}
	var all []request
	for room > 0 {
		r, err := next()
		if err != nil {
			return nil, fmt.Errorf("encode a request: %w", err)
		}
		all = append(all, r)
		room -= r.bytes
	}
	return all, nil
}

func recordedLines(recordings string) ([]string, error) {
	f, err := os.Open(filepath.Join(recordings, "restate-debug.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("read the recorded lines: %w", err)
	}
	defer f.Close()
	var lines []string
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read the recorded lines: %w", err)
	}
	return lines, nil
}

// lineSource gives recorded lines over and over, each with a time of its own.
type lineSource struct {
	lines []string
	at    time.Time
	given int
}

func (s *lineSource) next() (string, time.Time) {
	line := s.lines[s.given%len(s.lines)]
	s.given++
	return line, s.at.Add(time.Duration(s.given) * time.Microsecond)
}

func (s *lineSource) pod() string { return fmt.Sprintf("restate-%d", rand.IntN(pods)) }

// loki is a push as promtail or "invoscope ship" makes one.
func (s *lineSource) loki(batch int) (request, error) {
	stream := push.Stream{Labels: fmt.Sprintf(`{kubernetes_container_name="restate", namespace="bench", pod=%q}`, s.pod())}
	var bytes int
	for range batch {
		line, at := s.next()
		stream.Entries = append(stream.Entries, push.Entry{Timestamp: at, Line: line})
		bytes += len(line)
	}
	encoded, err := (&push.PushRequest{Streams: []push.Stream{stream}}).Marshal()
	return request{snappy.Encode(nil, encoded), bytes}, err
}

// otlp is an export as a collector's filelog receiver makes one.
func (s *lineSource) otlp(batch int) (request, error) {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("k8s.namespace.name", "bench")
	rl.Resource().Attributes().PutStr("k8s.container.name", "restate")
	rl.Resource().Attributes().PutStr("k8s.pod.name", s.pod())
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	var bytes int
	for range batch {
		line, at := s.next()
		record := records.AppendEmpty()
		record.SetTimestamp(pcommon.NewTimestampFromTime(at))
		record.SetObservedTimestamp(pcommon.NewTimestampFromTime(at))
		record.Body().SetStr(line)
		record.Attributes().PutStr("log.iostream", "stdout")
		bytes += len(line)
	}
	body, err := plogotlp.NewExportRequestFromLogs(logs).MarshalProto()
	return request{body, bytes}, err
}

// spanSource gives recorded spans over and over, with new ids and times.
type spanSource struct {
	resource pcommon.Resource
	spans    []ptrace.Span
	given    int
	shift    time.Duration // from the recording's times to now

	traceIDs map[pcommon.TraceID]pcommon.TraceID
	spanIDs  map[pcommon.SpanID]pcommon.SpanID
}

func recordedSpans(recordings string) (*spanSource, error) {
	body, err := os.ReadFile(filepath.Join(recordings, "traces-debug-01.otlp.pb"))
	if err != nil {
		return nil, fmt.Errorf("read the recorded spans: %w", err)
	}
	traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(body)
	if err != nil {
		return nil, fmt.Errorf("decode the recorded spans: %w", err)
	}
	s := &spanSource{}
	var newest time.Time
	for _, rs := range traces.ResourceSpans().All() {
		s.resource = rs.Resource()
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				if span.TraceID().IsEmpty() {
					continue // Restate's span of an unsampled trace; engines refuse it
				}
				s.spans = append(s.spans, span)
				if end := span.EndTimestamp().AsTime(); end.After(newest) {
					newest = end
				}
			}
		}
	}
	s.shift = time.Since(newest)
	return s, nil
}

func (s *spanSource) otlp(batch int) (request, error) {
	traces := ptrace.NewTraces()
	rs := traces.ResourceSpans().AppendEmpty()
	s.resource.CopyTo(rs.Resource())
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("services")
	for range batch {
		if s.given%len(s.spans) == 0 { // the recording begins again: other traces
			s.traceIDs, s.spanIDs = map[pcommon.TraceID]pcommon.TraceID{}, map[pcommon.SpanID]pcommon.SpanID{}
		}
		span := ss.Spans().AppendEmpty()
		s.spans[s.given%len(s.spans)].CopyTo(span)
		s.given++
		s.renew(span)
	}
	body, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
	return request{body, len(body)}, err
}

func (s *spanSource) renew(span ptrace.Span) {
	span.SetTraceID(fresh(s.traceIDs, span.TraceID()))
	span.SetSpanID(fresh(s.spanIDs, span.SpanID()))
	if !span.ParentSpanID().IsEmpty() {
		span.SetParentSpanID(fresh(s.spanIDs, span.ParentSpanID()))
	}
	for _, link := range span.Links().All() {
		link.SetTraceID(fresh(s.traceIDs, link.TraceID()))
		link.SetSpanID(fresh(s.spanIDs, link.SpanID()))
	}
	span.SetStartTimestamp(span.StartTimestamp() + pcommon.Timestamp(s.shift))
	span.SetEndTimestamp(span.EndTimestamp() + pcommon.Timestamp(s.shift))
	for _, event := range span.Events().All() {
		event.SetTimestamp(event.Timestamp() + pcommon.Timestamp(s.shift))
	}
}

// fresh is the random id that stands for a recorded one.
func fresh[ID pcommon.TraceID | pcommon.SpanID](known map[ID]ID, recorded ID) ID {
	id, ok := known[recorded]
	if !ok {
		for i := range len(id) {
			id[i] = byte(rand.Uint32())
		}
		known[recorded] = id
	}
	return id
}
