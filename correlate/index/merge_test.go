package index

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/correlate"
)

// dice makes records of one invocation that often agree, so that merging them
// meets every tie.
type dice struct{ *rand.Rand }

func (d dice) time() int64 { return int64(d.IntN(4)) * 1e9 }

func (d dice) text() string {
	return []string{"", "a", "Counter/add", "Counter/{key}/add", "Counter/a/add"}[d.IntN(5)]
}

func (d dice) span() (s SpanID) { s[7] = byte(d.IntN(4)); return s }

func (d dice) outcome(from Outcome, of ...Outcome) At[Outcome] {
	if d.IntN(2) == 0 {
		return At[Outcome]{}
	}
	return At[Outcome]{d.time() + 1, append(of, from)[d.IntN(len(of)+1)]}
}

func (d dice) record() *Record {
	r := &Record{ID: correlate.InvocationID{PartitionKey: 7}}
	r.see(d.time(), d.time()+4e9)
	r.name(d.text(), d.IntN(2) == 0)
	for range d.IntN(3) {
		from := d.time()
		r.trace(Trace{ID: TraceID{byte(d.IntN(3))}, From: from, To: from + d.time(), Main: d.IntN(2) == 0})
	}
	for range d.IntN(3) {
		r.attempt(d.span())
	}
	r.Started, r.Begun, r.Completed, r.Freed = d.time(), d.time(), d.time(), d.time()
	r.Ended = d.outcome(Succeeded, Failed)
	r.Result = d.outcome(Succeeded, Failed)
	r.State = d.outcome(Scheduled, Running, Suspended, Paused)
	if d.IntN(2) == 0 {
		r.failed(d.time()+1, d.text(), d.text())
		r.ErrorCode = At[string]{d.time() + 1, d.text()}
		r.Deployment = At[string]{d.time() + 1, d.text()}
		r.Cause = At[Cause]{d.time() + 1, Cause{d.span(), Origin(1 + d.IntN(3))}}
		r.Caller = At[correlate.InvocationID]{d.time() + 1, correlate.InvocationID{PartitionKey: d.Uint64N(3)}}
	}
	r.ingress(At[SpanID]{d.time(), d.span()})
	r.requested(d.time())
	return r
}

// merged is the merge of records, in their order.
func merged(records ...*Record) *Record {
	r := &Record{ID: records[0].ID}
	for _, o := range records {
		r.Merge(o)
	}
	return r
}

func TestMergeIsALattice(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(1, 2))}
	for range 20000 {
		a, b, c := d.record(), d.record(), d.record()
		for name, pair := range map[string][2]*Record{
			"commutative": {merged(a, b), merged(b, a)},
			"associative": {merged(merged(a, b), c), merged(a, merged(b, c))},
			"idempotent":  {merged(a, b), merged(a, b, a, b, b)},
		} {
			if !reflect.DeepEqual(pair[0], pair[1]) {
				t.Fatalf("Merge isn't %s:\n%s", name, cmp.Diff(pair[0], pair[1]))
			}
		}
	}
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(3, 4))}
	for range 20000 {
		a, b := merged(d.record()), merged(d.record())
		b.ID.PartitionKey = 8
		want := []Record{*a, *b}
		got, err := readBucket(startSpan(a.ID), writeBucket(want))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("-want +got:\n%s", cmp.Diff(want, got))
		}
	}
}

func TestBoundsOfARecord(t *testing.T) {
	d := rand.New(rand.NewPCG(5, 6))
	var r Record
	for i := range 3 * MaxAttempts {
		r.attempt(SpanID{byte(d.Uint32()), byte(d.Uint32()), byte(i), byte(i >> 8)})
		r.trace(Trace{ID: TraceID{byte(i), byte(i >> 8)}, From: 1, To: int64(i + 1), Main: i == 0})
	}
	if len(r.Attempts) != MaxAttempts || !r.MoreAttempts || len(r.Traces) != MaxTraces || !r.MoreTraces {
		t.Errorf("%d attempts (more: %t), %d traces (more: %t)", len(r.Attempts), r.MoreAttempts, len(r.Traces), r.MoreTraces)
	}
	if r.MainTrace() != (TraceID{0}) {
		t.Errorf("the trace that it ran in was given up for later ones: %x", r.MainTrace())
	}
	r.failed(1, string(make([]byte, 5000)), "é"+string(make([]byte, 5000)))
	if n := len(writeBucket([]Record{r})); n > 8<<10 {
		t.Errorf("a full record takes %d bytes", n)
	}
}

func FuzzReadBucket(f *testing.F) {
	d := dice{rand.New(rand.NewPCG(7, 8))}
	for range 20 {
		f.Add(writeBucket([]Record{*d.record()}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := readBucket(SpanID{1}, b)
		if err != nil {
			return
		}
		again, err := readBucket(SpanID{1}, writeBucket(records))
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		if diff := cmp.Diff(records, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte("\x0a\x02\x12\x00"))
	f.Fuzz(func(_ *testing.T, body []byte) {
		var b Batch
		_ = b.Spans(body)
		_ = b.Lines(body)
		for _, r := range b.Records() {
			_ = appendRecord(nil, r)
		}
	})
}
