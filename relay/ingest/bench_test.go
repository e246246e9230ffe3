package ingest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/relay/queue"
)

// nowhere takes what is appended and counts it.
type nowhere struct{ items int }

func (n *nowhere) Append(_ context.Context, _ string, req queue.Request) error {
	n.items += req.Items
	return nil
}

// cost is what the CPU seconds of a request are measured by.
type cost struct{ bytes, items int }

// request is one that is sent again and again.
type request struct {
	serve  func(*Ingest) handler
	header http.Header
	body   []byte
}

// benchmarkRequest sends one request again and again, through the handler, and
// reports CPU seconds for a gigabyte or for a million items.
func benchmarkRequest(b *testing.B, req request, of cost, set ...func(*Options)) {
	var to nowhere
	opts := Options{Logs: &to, Traces: &to, TenantKey: "tenant", MaxBytes: 10 << 20, Registerer: prometheus.NewRegistry()}
	for _, change := range set {
		change(&opts)
	}
	in, err := New(opts)
	if err != nil {
		b.Fatal(err)
	}
	run := req.serve(in)
	w := &discard{header: http.Header{}}
	r, err := http.NewRequest(http.MethodPost, "/", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header = req.header
	b.SetBytes(int64(of.bytes))
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		r.Body, r.ContentLength = reopened{bytes.NewReader(req.body)}, int64(len(req.body))
		if err := run(w, r, "acme"); err != nil {
			b.Fatal(err)
		}
	}
	if to.items == 0 || to.items%of.items != 0 {
		b.Fatalf("%d items were stored", to.items)
	}
	of.report(b, before)
}

type handler = func(http.ResponseWriter, *http.Request, string) error

type reopened struct{ *bytes.Reader }

func (reopened) Close() error { return nil }

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// cpu is the CPU time of the process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report divides what the CPUs did since before, which other load on the machine
// disturbs less than it does the time.
func (c cost) report(b *testing.B, before time.Duration) {
	seconds := (cpu(b) - before).Seconds() / float64(b.N)
	b.ReportMetric(seconds/float64(c.bytes)*1e9, "cpu-s/GB")
	b.ReportMetric(seconds/float64(c.items)*1e6, "cpu-s/Mitems")
}

// benchmarkReference does the same with the reference, body to compressed request.
func benchmarkReference(b *testing.B, of cost, run func() error) {
	b.SetBytes(int64(of.bytes))
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		if err := run(); err != nil {
			b.Fatal(err)
		}
	}
	of.report(b, before)
}

func encodeStreams(streams []push.Stream) error {
	raw, err := (&push.PushRequest{Streams: streams}).Marshal()
	s2.EncodeSnappy(nil, raw)
	return err
}

// The recorded DEBUG lines of a Restate server, as Loki push and as OTLP.
func BenchmarkLogs(b *testing.B) {
	lines := recordedLines(b, "restate-debug.jsonl")
	for _, n := range []int{10, 100, 900} {
		size := 0
		s := push.Stream{Labels: `{container="restate", cluster="x"}`}
		logs := plog.NewLogs()
		rl := logs.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("k8s.container.name", "restate")
		rl.Resource().Attributes().PutStr("k8s.node.name", "node-1")
		sl := rl.ScopeLogs().AppendEmpty()
		for i, line := range lines[:n] {
			size += len(line)
			s.Entries = append(s.Entries, pushed(line))
			r := sl.LogRecords().AppendEmpty()
			r.SetTimestamp(1)
			r.SetObservedTimestamp(2)
			r.Body().SetStr(line)
			r.Attributes().PutStr("log.file.name", "restate.log")
			r.Attributes().PutInt("log.file.position", int64(i))
		}
		bodyPush, bodyOTLP := protoPush(b, s), encodeLogs(b, logs)
		in := newFixture(b).Ingest
		b.Run(fmt.Sprintf("push/%d", n), func(b *testing.B) {
			benchmarkRequest(b, request{func(in *Ingest) handler { return in.LokiPush }, header(), bodyPush}, cost{size, n})
		})
		b.Run(fmt.Sprintf("push/%d/reference", n), func(b *testing.B) {
			benchmarkReference(b, cost{size, n}, func() error {
				streams, err := referencePush(in, bodyPush)
				if err != nil {
					return err
				}
				return encodeStreams(streams)
			})
		})
		b.Run(fmt.Sprintf("otlp/%d", n), func(b *testing.B) {
			benchmarkRequest(b, request{func(in *Ingest) handler { return in.OTLPLogs }, header("Content-Type", typeProtobuf), bodyOTLP}, cost{size, n})
		})
		b.Run(fmt.Sprintf("otlp/%d/reference", n), func(b *testing.B) {
			benchmarkReference(b, cost{size, n}, func() error {
				streams, err := referenceLogs(in, bodyOTLP)
				if err != nil {
					return err
				}
				return encodeStreams(streams)
			})
		})
	}
}

// What is optional, on the recorded DEBUG lines, and on the lines of an SDK, most of
// which continue a record.
func BenchmarkOptions(b *testing.B) {
	for _, name := range []string{"restate-debug.jsonl", "service-sdk-debug.log"} {
		s, size := push.Stream{Labels: `{container="restate", cluster="x"}`}, 0
		for _, line := range recordedLines(b, name)[:700] {
			size += len(line)
			s.Entries = append(s.Entries, pushed(line))
		}
		body, of := protoPush(b, s), cost{size, len(s.Entries)}
		for _, c := range []struct {
			name string
			set  func(*Options)
		}{
			{"none", func(*Options) {}},
			{"trace-id", func(o *Options) {
				o.TraceOf = func(string, string) Trace { return Trace{ID: "01a206657936f47db1cb0da40cc71744"} }
			}},
			{"continuation-lines", func(o *Options) { o.ContinuationLines = true }},
		} {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				benchmarkRequest(b, request{func(in *Ingest) handler { return in.LokiPush }, header(), body}, of, c.set)
			})
		}
	}
}

// The recorded spans of a Restate server.
func BenchmarkTraces(b *testing.B) {
	for _, name := range recordedTraces[:2] {
		body := mustRead(b, name)
		stored, err := referenceTraces(body)
		if err != nil {
			b.Fatal(err)
		}
		n := stored.SpanCount()
		b.Run(fmt.Sprintf("otlp/%d", n), func(b *testing.B) {
			benchmarkRequest(b, request{func(in *Ingest) handler { return in.OTLPTraces }, header("Content-Type", typeProtobuf), body}, cost{len(body), n})
		})
		b.Run(fmt.Sprintf("otlp/%d/reference", n), func(b *testing.B) {
			benchmarkReference(b, cost{len(body), n}, func() error {
				traces, err := referenceTraces(body)
				if err != nil {
					return err
				}
				_, err = (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
				return err
			})
		})
	}
}
