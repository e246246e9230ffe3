package ingest

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/invoscope/invoscope/relay/fault"
)

// What a request costs may grow with its size, and not with the square of it:
// these compress to a kilobyte or two.
func TestRequestsCostNoMoreThanTheirSize(t *testing.T) {
	const n = 1 << 20 / 4
	logs := func(resource []byte) []byte {
		return appendField(nil, 1, appendField(nil, fieldHead, resource))
	}
	pair := func(key string, value []byte) []byte {
		return appendField(nil, 1, appendField(appendField(nil, 1, key), 2, value))
	}
	leaves := appendField(nil, valueMap, bytes.Repeat(pair("a", nil), 100))
	otlp := header("Content-Type", typeProtobuf)
	stream := func(labels string, entry []byte, times int) []byte {
		s := bytes.Repeat(appendField(nil, fieldEntries, entry), times)
		return protoRaw(appendField(nil, fieldStreams, append(appendField(nil, fieldLabels, labels), s...)))
	}
	long := `{a="` + strings.Repeat("x", 2000) + `",b="` + strings.Repeat("x", 2000) + `",c="` + strings.Repeat("x", 2000) + `"}`
	late := appendField(nil, fieldTimestamp, appendVarint(nil, fieldSeconds, 1<<32))
	f, _, _ := strict(t)
	f.opts.MaxBytes = 1 << 21
	for name, send := range map[string]func(){
		"a resource in pieces": func() {
			do(f.OTLPLogs, fault.OTLP, otlp, appendField(nil, 1, bytes.Repeat([]byte{0x0a, 2, 0x10, 1}, n/8)))
		},
		"a long name above many": func() { do(f.OTLPLogs, fault.OTLP, otlp, logs(pair(strings.Repeat("k", 1<<20), leaves))) },
		"an entry with much metadata": func() {
			do(f.LokiPush, fault.Plain, header(), stream(`{a="1"}`, bytes.Repeat([]byte{0x1a, 0}, 2*n), 1))
		},
		"a message for each entry": func() { do(f.LokiPush, fault.Plain, header(), stream(long, late, n/32)) },
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			send()
			runtime.ReadMemStats(&after)
			mb := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%d MB", mb)
			if mb > 50 {
				t.Errorf("a request of 1 MiB at most allocated %d MB", mb)
			}
		})
	}
}
