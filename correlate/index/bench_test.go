package index_test

import (
	"testing"

	"github.com/invoscope/invoscope/correlate/index"
)

// BenchmarkBatch reads the recorded requests.
func BenchmarkBatch(b *testing.B) {
	spans := readFile(b, "traces-debug-01.otlp.pb")
	lines := encodeLines(b, recordedLines(b, "restate-debug.jsonl"))
	for _, c := range []struct {
		name  string
		body  []byte
		items int
		read  func(*index.Batch, []byte) error
	}{
		{"spans", spans, len(eachSpan(b, "traces-debug-01.otlp.pb")), (*index.Batch).Spans},
		{"lines", lines, len(recordedLines(b, "restate-debug.jsonl")), (*index.Batch).Lines},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.body)))
			var batch index.Batch
			for b.Loop() {
				batch.Reset()
				if err := c.read(&batch, c.body); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(c.items)*float64(b.N)/b.Elapsed().Seconds(), "items/s")
			b.ReportMetric(float64(batch.Len()), "invocations")
		})
	}
}
