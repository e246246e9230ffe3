package timeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/relay/invocation"
)

func TestReadRecord(t *testing.T) {
	const self = "inv_1aOmQMs5i9fV6R2zMqJ5XYDbCeFAwz4RbQ"
	for name, c := range map[string]struct {
		log  invocation.LogEvent
		want record
	}{
		"JSON": {
			invocation.LogEvent{Line: `{"level":"WARN","fields":{"message":"Invocation error, retrying in 1s.","error":"boom.\nsecond line","restate.error.code":"RT0007","restate.invocation.id":"` + self + `","restate.invocation.error.stacktrace":"a\nb\n","restate.journal.index":3,"list":["x"]}}`},
			record{level: "WARN", message: "Invocation error, retrying in 1s.", code: "RT0007", fields: []string{"journal.index=3", `list="[\"x\"]"`}, detail: []string{"boom.", "second line"}, stack: 2, says: saysRetry},
		},
		"JSON with a key that stands twice": {
			invocation.LogEvent{Line: `{"level":"DEBUG","fields":{"message":"m","a":"1","a":"2"}}`},
			record{level: "DEBUG", message: "m", fields: []string{"a=1", "a=2"}},
		},
		"JSON of somebody else": {
			invocation.LogEvent{Level: "info", Line: `{"msg":"hello"}`},
			record{level: "INFO", message: `{"msg":"hello"}`},
		},
		"compact": {
			invocation.LogEvent{Line: `2026-11-23T03:10:16.089095Z DEBUG invoker_invocation_task: restate_invoker_impl::invocation_task: Executing invocation at deployment path=/invoke`},
			record{level: "DEBUG", message: "Executing invocation at deployment path=/invoke", says: saysAttempt},
		},
		"pretty": {
			invocation.LogEvent{Line: "\x1b[2m2026-11-23T03:10:30.786291Z\x1b[0m \x1b[33mWARN\x1b[0m \x1b[1;3;33mrestate_invoker_impl\x1b[0m\x1b[33m\x1b[33m\n  \x1b[1;33mInvocation error, retrying in 527ms.\x1b[0m\n    error: refused\n"},
			record{level: "WARN", message: "Invocation error, retrying in 527ms.", detail: []string{"    error: refused"}, says: saysRetry},
		},
		"the SDK's": {
			invocation.LogEvent{Line: "[restate][2026-11-23T03:14:00.879Z][Greeter/greet][" + self + "] INFO: greeting Carol"},
			record{level: "INFO", message: "greeting Carol"},
		},
		"plain text": {
			invocation.LogEvent{Level: "unknown", Line: "panic: oh\r\n\r\ngoroutine 1"},
			record{message: "panic: oh", detail: []string{"goroutine 1"}},
		},
		"nothing": {invocation.LogEvent{}, record{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, readRecord(&c.log, self), cmp.AllowUnexported(record{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzReadRecord holds that no line breaks the reader.
func FuzzReadRecord(f *testing.F) {
	for _, name := range []string{"restate-debug.jsonl", "restate-edge.jsonl", "restate-compact.log", "service-sdk-debug.log"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "testdata", "restate", name))
		if err != nil {
			f.Fatal(err)
		}
		for i, line := range strings.Split(string(content), "\n") {
			if i%50 == 0 {
				f.Add(line)
			}
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		r := readRecord(&invocation.LogEvent{Line: line}, "inv_1")
		if r.message == "" && strings.Trim(sgr.ReplaceAllString(line, ""), " \r\n\t") != "" && len(r.fields)+len(r.detail)+r.stack == 0 && r.level == "" {
			t.Errorf("of %q nothing is shown", line)
		}
	})
}
