//go:build integration

package faults

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	// sendTimeout is a sender's patience with one request.
	sendTimeout = 5 * time.Second
	// giveUpAfter is how long a sender that retries keeps a batch.
	giveUpAfter = 20 * time.Second
)

// target is the daemon as the senders see it.
type target struct {
	http string // "http://HOST:PORT"
	conn *grpc.ClientConn
	// client has a connection for each sender.
	client *http.Client
}

// sender is one tenant's source in one way. Its fields but served are its own until
// send ends.
type sender struct {
	tenant  string
	number  int // of the tenant
	token   string
	way     way
	retries bool // or drops a batch at the first refusal, as Restate does
	run     uint64
	every   time.Duration

	served atomic.Int64 // when the last batch was acknowledged, in nanoseconds since 1970
	account
	refused map[string]int // by status; a batch may be refused many times
	odd     []string       // refusals that tell a sender not to try again
}

// send sends until ctx ends. What is on its way then may still be acknowledged.
func (s *sender) send(ctx context.Context, to target) {
	s.account.way, s.refused = s.way, map[string]int{}
	s.acknowledged, s.repeated = map[int]bool{}, map[int]bool{}
	for pause(ctx, s.every/2+rand.N(s.every)) {
		body, err := s.encode(s.sent, time.Now())
		if err != nil {
			s.odd = append(s.odd, err.Error())
			return
		}
		batch := s.sent
		s.sent++
		if s.deliver(ctx, to, batch, body) {
			s.acknowledged[batch] = true
			s.served.Store(time.Now().UnixNano())
		}
	}
}

// deliver sends the same bytes until they are acknowledged, refused for good, or
// the sender gives up.
func (s *sender) deliver(ctx context.Context, to target, batch int, body []byte) bool {
	giveUp := time.Now().Add(giveUpAfter)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := s.post(ctx, to, body)
		if err == nil {
			return true
		}
		var refusal *refusal
		if !errors.As(err, &refusal) {
			refusal = newRefusal("no answer", true, err)
		}
		s.refused[refusal.status]++
		if !refusal.again {
			s.odd = append(s.odd, fmt.Sprintf("%s of %s: %v", s.way, s.tenant, err))
			return false
		}
		if !s.retries || time.Now().After(giveUp) || !pause(ctx, wait/2+rand.N(wait)) {
			return false
		}
		s.repeated[batch] = true
	}
}

// pause waits for d and reports false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// refusal is an answer that isn't an acknowledgement.
type refusal struct {
	status string // for counting
	again  bool   // the protocol tells the sender to try again
	cause  error
}

func newRefusal(status string, again bool, cause error) *refusal {
	return &refusal{status: status, again: again, cause: cause}
}

func (r *refusal) Error() string { return r.status + ": " + r.cause.Error() }

// post sends one request. A request that is on its way is not given up when ctx
// ends: its answer counts.
func (s *sender) post(ctx context.Context, to target, body []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	switch s.way {
	case lokiPush:
		_, err := s.postHTTP(ctx, to, "/loki/api/v1/push", body)
		return err
	case otlpLogs:
		answer, err := s.postHTTP(ctx, to, "/v1/logs", body)
		if err != nil {
			return err
		}
		resp := plogotlp.NewExportResponse()
		return whole(resp.UnmarshalProto(answer), resp.PartialSuccess().RejectedLogRecords, resp.PartialSuccess().ErrorMessage)
	case otlpHTTP:
		answer, err := s.postHTTP(ctx, to, "/v1/traces", body)
		if err != nil {
			return err
		}
		resp := ptraceotlp.NewExportResponse()
		return whole(resp.UnmarshalProto(answer), resp.PartialSuccess().RejectedSpans, resp.PartialSuccess().ErrorMessage)
	default:
		return s.postGRPC(ctx, to, body)
	}
}

// whole is an error for an answer that isn't a response or rejects a part.
func whole(err error, rejected func() int64, message func() string) error {
	if err != nil {
		return newRefusal("bad response", false, err)
	}
	if n := rejected(); n > 0 {
		return newRefusal("partial success", false, fmt.Errorf("%d rejected: %s", n, message()))
	}
	return nil
}

func (s *sender) postHTTP(ctx context.Context, to target, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.http+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := to.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return answer, nil
	}
	var again bool
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		again = true // what the OTLP specification names
	default:
		again = s.way == lokiPush && resp.StatusCode/100 == 5 // what Loki's own clients do
	}
	return nil, newRefusal("HTTP "+strconv.Itoa(resp.StatusCode), again, errors.New(strings.TrimSpace(string(answer))))
}

func (s *sender) postGRPC(ctx context.Context, to target, body []byte) error {
	req := ptraceotlp.NewExportRequest()
	if err := req.UnmarshalProto(body); err != nil {
		return newRefusal("bad request", false, err)
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.token)
	resp, err := ptraceotlp.NewGRPCClient(to.conn).Export(ctx, req)
	if err == nil {
		return whole(nil, resp.PartialSuccess().RejectedSpans, resp.PartialSuccess().ErrorMessage)
	}
	// What the OTLP specification tells clients to send again, and the client's own
	// word for an answer that didn't come.
	again := false
	switch status.Code(err) {
	case codes.Unavailable, codes.Aborted, codes.Canceled, codes.DeadlineExceeded, codes.OutOfRange, codes.DataLoss:
		again = true
	case codes.ResourceExhausted:
		again = slices.ContainsFunc(status.Convert(err).Details(), func(detail any) bool {
			_, ok := detail.(*errdetails.RetryInfo)
			return ok
		})
	}
	return newRefusal("gRPC "+status.Code(err).String(), again, err)
}

// encode makes a batch. Its bytes are the same at each attempt.
func (s *sender) encode(batch int, at time.Time) ([]byte, error) {
	switch s.way {
	case lokiPush:
		return s.encodePush(batch, at)
	case otlpLogs:
		return s.encodeLogs(batch, at)
	default:
		return s.encodeTrace(batch, at)
	}
}

// padding gives lines about the length that Restate's have.
var padding = strings.Repeat(`"restate.invocation.target":"Greeter/greet" `, 4)

// line is a log line that says what it is; parseLine reads it.
func (s *sender) line(batch, i int) string {
	return fmt.Sprintf("faults run %d tenant %s way %s batch %d item %d %s", s.run, s.tenant, s.way, batch, i, padding)
}

func parseLine(line string) (run uint64, tenant string, it item, err error) {
	_, err = fmt.Sscanf(line, "faults run %d tenant %s way %s batch %d item %d ", &run, &tenant, &it.way, &it.batch, &it.index)
	return run, tenant, it, err
}

// encodePush uses the same labels for every tenant, so that a mix-up of tenants
// would not hide in streams of their own.
func (s *sender) encodePush(batch int, at time.Time) ([]byte, error) {
	stream := push.Stream{Labels: `{kubernetes_container_name="restate", service_name="faults"}`}
	for i := range linesInBatch {
		stream.Entries = append(stream.Entries, push.Entry{Timestamp: at.Add(time.Duration(i)), Line: s.line(batch, i)})
	}
	raw, err := (&push.PushRequest{Streams: []push.Stream{stream}}).Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode a push: %w", err)
	}
	return s2.EncodeSnappy(nil, raw), nil
}

func (s *sender) encodeLogs(batch int, at time.Time) ([]byte, error) {
	logs := plog.NewLogs()
	resource := logs.ResourceLogs().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "faults")
	records := resource.ScopeLogs().AppendEmpty().LogRecords()
	for i := range linesInBatch {
		record := records.AppendEmpty()
		record.SetTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Duration(i))))
		record.Body().SetStr(s.line(batch, i))
	}
	return plogotlp.NewExportRequestFromLogs(logs).MarshalProto()
}

// markerKey is the span attribute that names the sending tenant.
const markerKey = "faults.tenant"

func (s *sender) encodeTrace(batch int, at time.Time) ([]byte, error) {
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "faults")
	spans := resource.ScopeSpans().AppendEmpty().Spans()
	for i := range spansInTrace {
		span := spans.AppendEmpty()
		span.SetTraceID(traceID(s.run, s.way, batch))
		span.SetSpanID(spanID(s.number, batch, i))
		span.SetName("faults " + strconv.Itoa(i))
		span.Attributes().PutStr(markerKey, s.tenant)
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(at))
		span.SetEndTimestamp(pcommon.NewTimestampFromTime(at.Add(time.Millisecond)))
	}
	return ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
}

// traceID is the same for every tenant: a span that went to another tenant
// shows up in that tenant's trace.
func traceID(run uint64, w way, batch int) pcommon.TraceID {
	var id pcommon.TraceID
	binary.BigEndian.PutUint64(id[:], run|1) // not all zero
	id[8] = w[len(w)-1]
	binary.BigEndian.PutUint32(id[12:], uint32(batch))
	return id
}

func spanID(tenant, batch, i int) pcommon.SpanID {
	var id pcommon.SpanID
	id[0], id[1], id[2] = 1, byte(tenant), byte(i)
	binary.BigEndian.PutUint32(id[4:], uint32(batch))
	return id
}

// sendAll runs the senders until stop, which waits for their last answers.
func sendAll(ctx context.Context, senders []*sender, to target) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, s := range senders {
		wg.Go(func() { s.send(ctx, to) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}
