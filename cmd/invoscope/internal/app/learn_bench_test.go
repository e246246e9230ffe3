package app

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/pebblestore"
)

// recordedPush is a delivery of the recorded lines, moved in time.
func recordedPush(b *testing.B, by time.Duration) []byte {
	b.Helper()
	log, err := os.ReadFile("../../../../testdata/restate/restate-debug.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	var stream push.Stream
	var facts correlate.Facts
	for line := range bytes.Lines(log) {
		text := string(bytes.TrimSpace(line))
		at, ok := correlate.Timestamp(text)
		if !ok {
			continue
		}
		facts.Extract(text)
		e := push.Entry{Timestamp: at.Add(by), Line: text}
		if facts.InvocationID != "" {
			e.StructuredMetadata = push.LabelsAdapter{{Name: "restate_invocation_id", Value: facts.InvocationID}, {Name: "restate_invocation_target", Value: facts.Target}}
		}
		stream.Entries = append(stream.Entries, e)
	}
	body, err := (&push.PushRequest{Streams: []push.Stream{stream}}).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	return s2.EncodeSnappy(nil, body)
}

// BenchmarkLearn is what the index adds to a delivery of a thousand lines, which tell
// something new each time.
func BenchmarkLearn(b *testing.B) {
	store, err := pebblestore.Open(pebblestore.Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	x, err := index.New(index.Options{
		Store: store, Retention: func(string) time.Duration { return time.Hour },
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	const deliveries = 64
	var bodies [][]byte
	for n := range deliveries {
		bodies = append(bodies, recordedPush(b, time.Duration(n)*time.Minute))
	}
	l := &learner{index: x, read: readLines, log: slog.New(slog.DiscardHandler), now: time.Now}
	send := l.before(func(context.Context, string, []byte) error { return nil })
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := send(context.Background(), "acme", bodies[n%deliveries]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
