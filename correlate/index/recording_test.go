package index_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
)

const recordings = "../../testdata/restate"

// truth is an invocation of invocations.json.
type truth struct {
	ID       string   `json:"invocation_id"`
	Target   string   `json:"target"`
	Origin   string   `json:"invoked_by"` // ingress or service
	Caller   string   `json:"caller_invocation_id"`
	Relation string   `json:"relation"` // ingress, child or linked
	Status   string   `json:"status"`   // completed, suspended, paused
	Result   string   `json:"result"`   // success, failure
	TraceIDs []string `json:"trace_ids"`
	Spans    struct {
		Kinds map[string]int `json:"by_kind"`
	} `json:"spans"`
}

func readTruth(t testing.TB) []truth {
	t.Helper()
	var file struct {
		Runs map[string]struct {
			Invocations []truth `json:"invocations"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(readFile(t, "invocations.json"), &file); err != nil {
		t.Fatal(err)
	}
	return file.Runs["debug"].Invocations
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(recordings, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func spanBatches(t testing.TB) [][]byte {
	return [][]byte{readFile(t, "traces-debug-01.otlp.pb"), readFile(t, "traces-debug-02.otlp.pb")}
}

// encodeLines makes the push request that ingest makes of a recorded log.
func encodeLines(t testing.TB, lines []string) []byte {
	t.Helper()
	var stream push.Stream
	var facts correlate.Facts
	for _, line := range lines {
		at, ok := correlate.Timestamp(line)
		if !ok {
			continue
		}
		facts.Extract(line)
		e := push.Entry{Timestamp: at, Line: line}
		for name, value := range map[string]string{
			"restate_invocation_id":          facts.InvocationID,
			"restate_related_invocation_ids": strings.Join(facts.Related, ","),
			"restate_invocation_target":      facts.Target,
		} {
			if value != "" {
				e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: name, Value: value})
			}
		}
		stream.Entries = append(stream.Entries, e)
	}
	b, err := (&push.PushRequest{Streams: []push.Stream{stream}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func recordedLines(t testing.TB, name string) []string {
	t.Helper()
	var lines []string
	s := bufio.NewScanner(bytes.NewReader(readFile(t, name)))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	return lines
}

func newIndex(t testing.TB) *index.Index {
	t.Helper()
	return newIndexOver(t, index.Options{
		Store:     indextest.NewMemory(),
		Retention: func(string) time.Duration { return time.Hour },
		Now:       time.Now,
	})
}

func newIndexOver(t testing.TB, o index.Options) *index.Index {
	t.Helper()
	o.Registerer, o.Log = prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	x, err := index.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func applySpans(t testing.TB, x *index.Index, requests ...[]byte) {
	t.Helper()
	for _, body := range requests {
		var b index.Batch
		if err := b.Spans(body); err != nil {
			t.Fatal(err)
		}
		apply(t, x, &b)
	}
}

func applyLines(t testing.TB, x *index.Index, request []byte) {
	t.Helper()
	var b index.Batch
	if err := b.Lines(request); err != nil {
		t.Fatal(err)
	}
	apply(t, x, &b)
}

const tenant = "acme"

func apply(t testing.TB, x *index.Index, b *index.Batch) {
	t.Helper()
	if err := x.Apply(context.Background(), tenant, b); err != nil {
		t.Fatal(err)
	}
}

func parseID(t testing.TB, s string) correlate.InvocationID {
	t.Helper()
	id, err := correlate.ParseInvocationID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// told is what the index says of an invocation, in the words of the truth.
type told struct {
	Target, Outcome, Origin, Caller string
	Traces                          []string
	Attempts                        int
	Calls, Sends                    []string
}

func tell(t testing.TB, x *index.Index, id string) told {
	t.Helper()
	ctx := context.Background()
	r, err := x.Get(ctx, tenant, parseID(t, id))
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	rel, err := x.Relations(ctx, tenant, &r, 1000)
	if err != nil {
		t.Fatal(err)
	}
	got := told{Target: r.Target, Outcome: r.Outcome().String(), Origin: rel.Origin.String(), Attempts: len(r.Attempts)}
	if rel.Caller != nil {
		got.Caller = rel.Caller.String()
	}
	for _, tr := range r.Traces {
		got.Traces = append(got.Traces, hex.EncodeToString(tr.ID[:]))
	}
	for _, c := range rel.Callees {
		switch c.Origin {
		case index.Call:
			got.Calls = append(got.Calls, c.ID.String())
		case index.Send:
			got.Sends = append(got.Sends, c.ID.String())
		default:
			t.Errorf("%s: callee %s by %s", id, c.ID, c.Origin)
		}
	}
	slices.Sort(got.Calls)
	slices.Sort(got.Sends)
	return got
}

// expect is the truth in the same words.
func expect(all []truth, of truth) told {
	want := told{Target: of.Target, Caller: of.Caller, Attempts: of.Spans.Kinds["invocation-attempt"]}
	want.Origin = map[string]string{"ingress": "ingress", "child": "call", "linked": "send"}[of.Relation]
	switch {
	case of.Result == "success":
		want.Outcome = "succeeded"
	case of.Result == "failure":
		want.Outcome = "failed"
	default:
		want.Outcome = of.Status
	}
	for _, id := range of.TraceIDs {
		if id != "" { // the span without ids, which ingest drops
			want.Traces = append(want.Traces, id)
		}
	}
	slices.Sort(want.Traces)
	for _, other := range all {
		if other.Caller == of.ID {
			if other.Relation == "linked" {
				want.Sends = append(want.Sends, other.ID)
			} else {
				want.Calls = append(want.Calls, other.ID)
			}
		}
	}
	slices.Sort(want.Calls)
	slices.Sort(want.Sends)
	return want
}

func TestRecordingIsTold(t *testing.T) {
	all := readTruth(t)
	spans, lines := spanBatches(t), encodeLines(t, recordedLines(t, "restate-debug.jsonl"))
	orders := map[string]func(x *index.Index){
		"spans, lines": func(x *index.Index) { applySpans(t, x, spans...); applyLines(t, x, lines) },
		"lines, spans backwards": func(x *index.Index) {
			applyLines(t, x, lines)
			applySpans(t, x, spans[1], spans[0])
		},
		"all twice": func(x *index.Index) {
			applySpans(t, x, spans[0], spans[1], spans[0])
			applyLines(t, x, lines)
			applyLines(t, x, lines)
			applySpans(t, x, spans...)
		},
	}
	for name, feed := range orders {
		t.Run(name, func(t *testing.T) {
			x := newIndex(t)
			feed(x)
			for _, inv := range all {
				if diff := cmp.Diff(expect(all, inv), tell(t, x, inv.ID)); diff != "" {
					t.Errorf("%s %v (-want +got):\n%s", inv.ID, inv, diff)
				}
			}
			page, err := x.List(context.Background(), tenant, index.Query{Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Records) != len(all) || page.Next != "" {
				t.Errorf("the index lists %d invocations, next %q; the recording has %d", len(page.Records), page.Next, len(all))
			}
		})
	}
}
