package index_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/pebblestore"
)

// INDEX_INVOCATIONS is how many invocations the benchmarks of a large index put into
// it; ten million take minutes.
func invocations(b *testing.B) int {
	b.Helper()
	n := 100_000
	if s := os.Getenv("INDEX_INVOCATIONS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	return n
}

// group is how many invocations begin in one request; each has four spans, of which
// two come with the next request.
const group = 250

// population makes invocations, each always the same by its number: a tenth fails, a
// tenth is tried twice, a fifth is called by the one before it.
type population struct{ begin int64 }

type person struct {
	id                           correlate.InvocationID
	trace                        index.TraceID
	ingress, attempt, retry, end index.SpanID
	target, deployment           string
	failed, retried, called      bool
	start                        int64
}

func (p population) person(n int) person {
	d := rand.New(rand.NewPCG(uint64(n), 1))
	who := person{
		target:     fmt.Sprintf("Service%d/handler%d", d.IntN(20), d.IntN(10)),
		deployment: fmt.Sprintf("dp_11%024dM", d.IntN(5)),
		failed:     d.IntN(10) == 0, retried: d.IntN(10) == 0, called: n > 0 && d.IntN(5) == 0,
		start: p.begin + int64(n)*int64(time.Millisecond) + d.Int64N(int64(time.Millisecond)),
	}
	who.id.PartitionKey = d.Uint64()
	for _, b := range [][]byte{who.id.UUID[:8], who.id.UUID[8:], who.trace[:8], who.trace[8:], who.ingress[:], who.attempt[:], who.retry[:], who.end[:]} {
		binary.LittleEndian.PutUint64(b, d.Uint64())
	}
	return who
}

// request makes the request in which a group begins, and the one before it ends.
func (p population) request(first, last int, buf []byte) []byte {
	var spans []byte
	for n := max(first-group, 0); n < last; n++ {
		who := p.person(n)
		start := index.SpanID(who.id.UUID[8:])
		if n >= first {
			cause := who.ingress
			if who.called {
				cause = p.person(n - 1).attempt
			} else {
				spans = who.span(spans, "ingress", who.ingress, index.SpanID{}, times{0, 2e3})
			}
			spans = who.span(spans, "invocation-start", start, cause, times{-3e5, 2e6})
			continue
		}
		if who.retried {
			spans = who.span(spans, "invocation-attempt", who.retry, start, times{3e6, 4e6})
		}
		spans = who.span(spans, "invocation-attempt", who.attempt, start, times{5e7, 1e7})
		spans = who.span(spans, "invocation-end", who.end, start, times{6e7, 2e3})
	}
	scope := protowire.AppendBytes(protowire.AppendTag(buf[:0], 2, protowire.BytesType), spans)
	return protowire.AppendBytes([]byte{1<<3 | 2}, scope) // of one ResourceSpans
}

// times are when a span begins after its invocation, and how long it lasts, in
// nanoseconds.
type times struct{ after, length int64 }

func (who *person) span(b []byte, kind string, id, parent index.SpanID, at times) []byte {
	var s []byte
	bytesField := func(number protowire.Number, v []byte) {
		s = protowire.AppendBytes(protowire.AppendTag(s, number, protowire.BytesType), v)
	}
	attribute := func(key, value string) {
		text := protowire.AppendString([]byte{1<<3 | 2}, value)
		bytesField(9, protowire.AppendBytes(append(protowire.AppendString([]byte{1<<3 | 2}, key), 2<<3|2), text))
	}
	bytesField(1, who.trace[:])
	bytesField(2, id[:])
	bytesField(4, parent[:])
	bytesField(5, []byte(kind+" "+who.target))
	s = protowire.AppendFixed64(protowire.AppendTag(s, 7, protowire.Fixed64Type), uint64(who.start+at.after))
	s = protowire.AppendFixed64(protowire.AppendTag(s, 8, protowire.Fixed64Type), uint64(who.start+at.after+at.length))
	attribute("restate.invocation.id", who.id.String())
	attribute("restate.invocation.target", who.target)
	switch kind {
	case "invocation-attempt":
		attribute("restate.deployment.id", who.deployment)
		code := byte(1)
		if id == who.retry {
			code = 2
		}
		bytesField(15, []byte{3 << 3, code})
	case "invocation-end":
		result := "success"
		if who.failed {
			result = "failure"
			attribute("restate.invocation.error.code", "500 Internal")
			attribute("error.message", "the upstream answered 503 to request "+who.id.String()[20:])
		}
		attribute("restate.invocation.result", result)
	}
	return protowire.AppendBytes(append(b, 2<<3|2), s) // of ScopeSpans
}

func openScale(b *testing.B) (*index.Index, *pebblestore.Store) {
	b.Helper()
	store, err := pebblestore.Open(pebblestore.Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return newIndexOver(b, index.Options{Store: store, Now: time.Now}), store
}

// BenchmarkScale fills an index as deliveries do, synced after each, and then asks it.
func BenchmarkScale(b *testing.B) {
	n := invocations(b)
	p := population{begin: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixNano()}
	ctx := context.Background()
	x, store := openScale(b)
	var learning time.Duration
	var buf []byte
	var batch index.Batch
	for first := 0; first < n+group; first += group {
		buf = p.request(min(first, n), min(first+group, n), buf)
		start := time.Now()
		batch.Reset()
		if err := batch.Spans(buf); err != nil {
			b.Fatal(err)
		}
		if err := x.Apply(ctx, tenant, &batch); err != nil {
			b.Fatal(err)
		}
		if err := x.Sync(ctx); err != nil {
			b.Fatal(err)
		}
		learning += time.Since(start)
	}
	if err := store.Compact(ctx); err != nil {
		b.Fatal(err)
	}
	size, err := store.Bytes(ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("learn", func(b *testing.B) {
		for b.Loop() { // it was measured above
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(n)/learning.Seconds(), "invocations/s")
		b.ReportMetric(float64(size)/float64(n), "bytes/invocation")
	})
	get := func(d *rand.Rand) error {
		_, err := x.Get(ctx, tenant, p.person(d.IntN(n)).id)
		return err
	}
	asked(b, "get", get)
	asked(b, "get with relations", func(d *rand.Rand) error {
		r, err := x.Get(ctx, tenant, p.person(d.IntN(n)).id)
		if err != nil {
			return err
		}
		_, err = x.Relations(ctx, tenant, &r, 100)
		return err
	})
	asked(b, "list 100", func(d *rand.Rand) error {
		_, err := x.List(ctx, tenant, index.Query{To: time.Unix(0, p.person(d.IntN(n)).start), Limit: 100})
		return err
	})
	asked(b, "list 100 failed of a target", func(d *rand.Rand) error {
		who := p.person(d.IntN(n))
		_, err := x.List(ctx, tenant, index.Query{To: time.Unix(0, who.start), Target: who.target, Outcomes: []index.Outcome{index.Failed}, Limit: 100})
		return err
	})
}

// asked measures a question, and says how long the median and the slowest hundredth
// took.
func asked(b *testing.B, name string, ask func(*rand.Rand) error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		d := rand.New(rand.NewPCG(11, 12))
		var took []time.Duration
		for b.Loop() {
			start := time.Now()
			if err := ask(d); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	})
}
