package correlate

import (
	"encoding/json"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// reader is a way to read a line.
type reader struct {
	name string
	read func(line string)
}

// readers are ours, the regular expression that Restate's documentation gives for
// Grafana, and a JSON decoder. Only ours finds every id, says which one is current,
// and has more than id, target and level.
func readers() []reader {
	var f Facts
	published := regexp.MustCompile(`"restate.invocation.id":"(.+?)"`)
	type object struct {
		ID     string `json:"restate.invocation.id"`
		Target string `json:"restate.invocation.target"`
	}
	return []reader{
		{"scanner", f.Extract},
		{"regexp", func(line string) { published.FindStringSubmatch(line) }},
		{"encoding-json", func(line string) {
			var r struct {
				Level        string
				Fields, Span object
				Spans        []object
			}
			_ = json.Unmarshal([]byte(line), &r)
		}},
	}
}

// BenchmarkExtract reads the recorded DEBUG lines in each way, one after the other.
func BenchmarkExtract(b *testing.B) {
	lines := recording(b, "restate-debug.jsonl")
	for _, r := range readers() {
		b.Run(r.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(size(lines))
			for b.Loop() {
				for _, line := range lines {
					r.read(line)
				}
			}
		})
	}
}

// BenchmarkExtractBeside reads the same lines in turns of some passes, so that all
// ways meet the same weather on a machine that others use too, and by CPU time, which
// counts none of theirs. It reports for each way the mean and the best turn in MB/s of
// one core, and how many times faster than the others ours is in the mean.
func BenchmarkExtractBeside(b *testing.B) {
	const passes = 16
	lines := recording(b, "restate-debug.jsonl")
	megabytes := float64(size(lines)) * passes / 1e6
	ways := readers()
	total, best := make([]time.Duration, len(ways)), make([]time.Duration, len(ways))
	for b.Loop() {
		for i, r := range ways {
			start := cpuTime(b)
			for range passes {
				for _, line := range lines {
					r.read(line)
				}
			}
			took := cpuTime(b) - start
			total[i] += took
			if best[i] == 0 || took < best[i] {
				best[i] = took
			}
		}
	}
	b.ReportMetric(0, "ns/op") // of no interest
	for i, r := range ways {
		b.ReportMetric(megabytes*float64(b.N)/total[i].Seconds(), r.name+"-MB/s")
		b.ReportMetric(megabytes/best[i].Seconds(), r.name+"-best-MB/s")
		if i > 0 {
			b.ReportMetric(total[i].Seconds()/total[0].Seconds(), "times-"+r.name)
		}
	}
}

// cpuTime is what the process has used so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
