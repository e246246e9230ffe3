package correlate

import (
	"strings"
	"testing"
	"time"
)

func TestTimestamp(t *testing.T) {
	const none = ""
	for _, test := range []struct{ line, want string }{
		{`{"timestamp":"2026-11-23T03:14:00.916940Z","level":"DEBUG"}`, "2026-11-23T03:14:00.91694Z"},
		{`{"level":"info","fields":{"time":"2001-01-01T00:00:00Z"},"ts" : "2026-11-23T05:14:00+02:00"}`, "2026-11-23T03:14:00Z"},
		{`{"@timestamp":"2026-11-23T03:14:00.123456789123-05:30"}`, "2026-11-23T08:44:00.123456789Z"},
		{`{"time":"soon","ts":1795403640.25}`, "2026-11-23T03:14:00.25Z"},
		{`{"ts":1795403640}`, "2026-11-23T03:14:00Z"},
		{`{"ts":1795403640123}`, "2026-11-23T03:14:00.123Z"},
		{`{"ts":1795403640123.5}`, "2026-11-23T03:14:00.1235Z"},
		{`{"ts":1795403640123456}`, "2026-11-23T03:14:00.123456Z"},
		{`{"ts":1795403640123456789}`, "2026-11-23T03:14:00.123456789Z"},
		{"2026-11-23T03:10:16.086783Z DEBUG ingress-http-request: x", "2026-11-23T03:10:16.086783Z"},
		{"\x1b[2m2026-11-23T03:10:30.786291Z\x1b[0m \x1b[32mINFO\x1b[0m", "2026-11-23T03:10:30.786291Z"},
		{"[restate][2026-11-23T03:13:59.654Z] WARN: x", "2026-11-23T03:13:59.654Z"},
		{"[restate][2026-11-23T03:14:00.893Z][A/a][" + greet + "] INFO: x", "2026-11-23T03:14:00.893Z"},
		{"app-1  | [restate][2026-11-23T03:13:59.654Z] WARN: x", "2026-11-23T03:13:59.654Z"},
		{`app-1  | {"timestamp":"2026-11-23T03:14:00Z"}`, "2026-11-23T03:14:00Z"},
		{wrap("x"), "2026-11-23T03:14:00.123456789Z"},
		{"2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z"},

		{"", none},
		{"2026-02-29T00:00:00Z", none},
		{"2026-13-01T00:00:00Z", none},
		{"2026-00-10T00:00:00Z", none},
		{"2026-01-00T00:00:00Z", none},
		{"2026-01-01T24:00:00Z", none},
		{"2026-01-01T00:60:00Z", none},
		{"2026-01-01T00:00:60Z", none},
		{"2026-01-01T00:00:00.Z", none},
		{"2026-01-01T00:00:00", none},
		{"2026-01-01T00:00:00+1", none},
		{"0001-01-01T00:00:00Z", none},
		{"9999-01-01T00:00:00Z", none},
		{"[restate][soon] INFO: x", none},
		{"\x1b[2;3mon\x1b[0m rs:worker-1", none},
		{`{"ts":0}`, none},
		{`{"ts":12}`, none},
		{`{"ts":-1795403640}`, none},
		{`{"ts":1.7954e9}`, none},
		{`{"ts":99999999999999999999999}`, none},
		{`{"ts":9223372036854775807}`, none},
		{`{"timestamp":"2026-11-23T03:14:00Z and more"}`, none},
		{`{"timestamp":{"time":"2026-11-23T03:14:00Z"}}`, none},
		{`{"timestamp":`, none},
		{`{"timestamp":"2026-11-23T03:14:00Z`, none},
		{`{"message":"timestamp","x":["time","2026-11-23T03:14:00Z"]}`, none},
	} {
		got, ok := Timestamp(test.line)
		equal(t, test.line, ok, test.want != none)
		if ok {
			equal(t, test.line, got.Format(time.RFC3339Nano), test.want)
		}
	}
}

// Every record of the recordings has its time; time.Parse reads it likewise.
func TestTimestampOfRecordings(t *testing.T) {
	for name, records := range map[string]int{
		"restate-debug.jsonl": 994, "restate-v162-debug.jsonl": 100, "restate-edge.jsonl": 4,
		"restate-compact.log": 116, "restate-pretty.log": 29, "service-sdk-debug.log": 402,
	} {
		n := 0
		for _, line := range recording(t, name) {
			got, ok := Timestamp(line)
			if !ok {
				continue
			}
			n++
			i := strings.Index(line, "2026-")
			want, err := time.Parse(time.RFC3339Nano, line[i:i+strings.IndexByte(line[i:], 'Z')+1])
			if err != nil {
				t.Fatal(err)
			}
			equal(t, line, got, want)
		}
		equal(t, name, n, records)
	}
}
