package correlate

import (
	"encoding/json"
	"math"
	"regexp"
	"testing"
	"time"
)

// BenchmarkExtract reads the recorded DEBUG lines, in three ways: ours, the
// regular expression that Restate's documentation gives for Grafana, and a JSON
// decoder. Only ours finds every id, and says which one is current. Beside the
// mean it reports the fastest pass, which other load on the machine disturbs
// least.
func BenchmarkExtract(b *testing.B) {
	lines := recording(b, "restate-debug.jsonl")
	each := func(name string, read func(line string)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(size(lines))
			fastest := time.Duration(math.MaxInt64)
			for b.Loop() {
				start := time.Now()
				for _, line := range lines {
					read(line)
				}
				fastest = min(fastest, time.Since(start))
			}
			b.ReportMetric(float64(size(lines))/1e6/fastest.Seconds(), "fastest-MB/s")
		})
	}
	var f Facts
	each("scanner", f.Extract)

	published := regexp.MustCompile(`"restate.invocation.id":"(.+?)"`)
	each("regexp", func(line string) { published.FindStringSubmatch(line) })

	type object struct {
		ID     string `json:"restate.invocation.id"`
		Target string `json:"restate.invocation.target"`
	}
	each("encoding-json", func(line string) {
		var r struct {
			Level        string
			Fields, Span object
			Spans        []object
		}
		_ = json.Unmarshal([]byte(line), &r)
	})
}

// BenchmarkFormats reads the other formats, and wrapped records.
func BenchmarkFormats(b *testing.B) {
	for _, name := range []string{"restate-compact.log", "restate-pretty.log", "service-sdk-debug.log", "restate-v162-debug.jsonl"} {
		lines := recording(b, name)
		b.Run(name, func(b *testing.B) { benchmarkLines(b, lines) })
	}
	var wrapped, plain []string
	for _, line := range recording(b, "restate-debug.jsonl") {
		wrapped = append(wrapped, wrap(line))
		if f := facts(line); f.InvocationID == "" {
			plain = append(plain, line)
		}
	}
	b.Run("wrapped", func(b *testing.B) { benchmarkLines(b, wrapped) })
	b.Run("without-id", func(b *testing.B) { benchmarkLines(b, plain) })
}

func benchmarkLines(b *testing.B, lines []string) {
	b.ReportAllocs()
	b.SetBytes(size(lines))
	var f Facts
	for b.Loop() {
		for _, line := range lines {
			f.Extract(line)
		}
	}
}

func BenchmarkTimestamp(b *testing.B) {
	for _, name := range []string{"restate-debug.jsonl", "restate-pretty.log", "service-sdk-debug.log"} {
		lines := recording(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(size(lines))
			for b.Loop() {
				for _, line := range lines {
					Timestamp(line)
				}
			}
		})
	}
}

func size(lines []string) (n int64) {
	for _, line := range lines {
		n += int64(len(line))
	}
	return n
}
