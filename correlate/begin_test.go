package correlate

import (
	"strings"
	"testing"
)

func TestBegins(t *testing.T) {
	for line, want := range map[string]bool{
		`{"timestamp":"2026-11-23T03:14:00.916940Z","level":"DEBUG"}`: true,
		`{ "level": "INFO" }`: true,
		"2026-11-23T03:10:16.088833Z DEBUG run:apply_command: x":                                                true,
		"\x1b[2m2026-11-23T03:10:32.808664Z\x1b[0m \x1b[33mWARN\x1b[0m \x1b[1;3;33mrestate_invoker_impl\x1b[0m": true,
		"[restate][2026-11-23T03:14:00.893Z][Counter/alice/add][" + greet + "] DEBUG: x":                        true,
		"[restate] [2024-11-23T03:14:00.893Z] INFO: x":                                                          true,
		"2026-11-23 03:14:00 INFO  [Greeter/greet][" + greet + "] dev.restate.sdk - x":                          true,
		"2026/11/23 03:14:00 INFO x":                                                                            true,
		"[2026-11-23 03:14:00 +0000] [7] [INFO] Running":                                                        true,
		"time=2026-11-23T03:14:00.000Z level=INFO msg=x":                                                        true,
		"INFO:     Started server process":                                                                      true,
		"[ERROR] x":                                                                                             true,
		"\x1b[32mINFO\x1b[0m x":                                                                                 true,
		"[rocksdb] flushed WAL of db":                                                                           true,
		"thread 'rs:worker-1' panicked at crates/worker/src/lib.rs:1:2:":                                        true,
		"panic: assignment to entry in nil map":                                                                 true,
		"WARN":                                                                                                  true,
		"":                                                                                                      false,
		"{":                                                                                                     false,
		"}":                                                                                                     false,
		"  code: 402,":                                                                                          false,
		" 2026-11-23T03:10:16.088833Z indented":                                                                 false,
		`  {"a":"pretty-printed"}`:                                                                              false,
		"    at Object.terminal (file:///srv/app/checkout-svc/v1/services.mjs:110:13)": false,
		"Stacktrace: Connection closed":                                                                             false,
		"Caused by: java.lang.IllegalStateException: x":                                                             false,
		"[500 Internal] connection refused by upstream (attempt 1).":                                                false,
		"> This error originated while processing Unknown restate.error.code=RT0007 restate.invocation.id=" + greet: false,
		"\x1b[2;3mon\x1b[0m rt:pp-1":                                                                                false,
		"    \x1b[1;33merror\x1b[0m\x1b[33m: x":                                                                     false,
		"ERRORS were found":                                                                                         false,
		"2026-11-23 is a date":                                                                                      false,
		"Error: connection refused by upstream (attempt 1)":                                                         false,
		"\x1b[": false,
	} {
		equal(t, line, Begins(line), want)
		if len(line) > BeginsBytes {
			equal(t, line, Begins(line[:BeginsBytes]), want)
		}
	}
}

// In the recordings, the lines that begin a record are those that have its time;
// all but what the service itself prints.
func TestBeginsRecordings(t *testing.T) {
	for name, head := range map[string]string{
		"restate-debug.jsonl":      `{"timestamp":`,
		"restate-v162-debug.jsonl": `{"timestamp":`,
		"restate-compact.log":      "2026-",
		"restate-pretty.log":       "\x1b[2m2026-",
		"service-sdk-debug.log":    "[restate][2026-",
	} {
		for _, line := range recording(t, name) {
			equal(t, line, Begins(line), strings.HasPrefix(line, head))
		}
	}
	for _, line := range recording(t, "restate-edge.jsonl") {
		equal(t, line, Begins(line), true) // JSON, and RocksDB's last words
	}
}
