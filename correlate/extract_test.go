package correlate

import (
	"fmt"
	"strings"
	"testing"
)

const (
	greet = "inv_1lx0wDO903kp4Qm4Z3gkn7I1G9xt71xTdn"
	place = "inv_1c47RjYitJ0q5w0XpkEBoi0VDj47hMxBRz"
	timer = "inv_171coeUmaOsD0deNqpVtkPS0gFpnGjpjON"
)

// extractTests are lines of every format. Those marked real stand in the
// recordings.
var extractTests = []struct {
	name, line string
	want       Facts
}{
	{
		"real: fields names the peer",
		`{"timestamp":"2026-11-23T03:14:00.916940Z","level":"DEBUG","fields":{"message":"Effect: Send service invocation to partition processor","rpc.service":"Greeter","rpc.method":"greet","restate.invocation.id":"` + greet + `","restate.invocation.target":"Greeter/greet","restate.outbox.seq":0},"target":"restate_worker::partition::state_machine","span":{"otel.name":"apply-command: InvokerEffect","restate.invocation.id":"` + place + `","restate.invocation.target":"Orders/place","restate.state_machine.command":"InvokerEffect","rpc.method":"place","rpc.service":"Orders","name":"apply_command"},"spans":[{"partition_id":"3","name":"run"},{"otel.name":"apply-command: InvokerEffect","restate.invocation.id":"` + place + `","restate.invocation.target":"Orders/place","restate.state_machine.command":"InvokerEffect","rpc.method":"place","rpc.service":"Orders","name":"apply_command"}]}`,
		Facts{place, []string{greet}, "Orders/place", "DEBUG", "", ""},
	},
	{
		"real: message text only",
		`{"timestamp":"2026-11-23T03:14:02.486005Z","level":"DEBUG","fields":{"message":"Handle scheduled invocation timer with invocation id inv_171coeUmaOsD0deNqpVtkPS0gFpnGjpjON"},"target":"restate_worker::partition::state_machine","span":{"otel.name":"apply-command: Timer","restate.state_machine.command":"Timer","name":"apply_command"},"spans":[{"partition_id":"1","name":"run"},{"otel.name":"apply-command: Timer","restate.state_machine.command":"Timer","name":"apply_command"}]}`,
		Facts{timer, nil, "", "DEBUG", "", ""},
	},
	{
		"real: span.invocation_id",
		`{"timestamp":"2026-11-23T03:14:00.846468Z","level":"DEBUG","fields":{"message":"express path connection reactor started","swimlane":"INGRESS_DATA","task_id":"148"},"target":"restate_core::network::connection_manager","span":{"invocation_id":"inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX","request_id":"01M836AW0EBD0AP9CACKCM6D3Y","name":"call invocation"},"spans":[{"http.request.method":"POST","http.version":"HTTP/1.1","url.path":"/Greeter/greet","url.query":"","url.scheme":"http","name":"ingress-http-request"},{"invocation_id":"inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX","request_id":"01M836AW0EBD0AP9CACKCM6D3Y","name":"call invocation"}]}`,
		Facts{"inv_1kgrqqxYVF7k5UI8elDy211i2QiKCPW4FX", nil, "", "DEBUG", "", ""},
	},
	{
		"real: id in span, its target in fields",
		`{"timestamp":"2026-11-23T03:14:08.863759Z","level":"WARN","fields":{"message":"Invocation error, retrying in 2s 377ms 311µs.","error":"error when calling 'http://127.0.0.1:19080/': h2 pool connection error: Connection refused (os error 111)","restate.error.code":"RT0010","restate.invocation.id":"inv_15xgYxIgAP7T1RwNIWp3LIw6lzw74VZk0y","restate.invocation.target":"Sleeper/nap","restate.deployment.id":"dp_110HfECjqnAfEcyABOtyAMh"},"target":"restate_invoker_impl","span":{"restate.invocation.id":"inv_15xgYxIgAP7T1RwNIWp3LIw6lzw74VZk0y","name":"handle_invocation_task_failed"},"spans":[{"restate.invocation.id":"inv_15xgYxIgAP7T1RwNIWp3LIw6lzw74VZk0y","name":"handle_invocation_task_failed"}]}`,
		Facts{"inv_15xgYxIgAP7T1RwNIWp3LIw6lzw74VZk0y", nil, "Sleeper/nap", "WARN", "RT0010", ""},
	},
	{
		"real: duplicate key, no id",
		`{"timestamp":"2026-11-23T03:11:43.125157Z","level":"ERROR","fields":{"message":"","name":"BatchSpanProcessor.Flush.ExportError","reason":"InternalFailure(\"code: 'The request does not have valid authentication credentials', message: \\\"missing or invalid bearer token\\\"\")","message":"Failed during the export process"},"target":"opentelemetry_sdk"}`,
		Facts{Level: "ERROR"},
	},
	{"real: no JSON", `[rocksdb] flushed WAL of log-server`, Facts{}},
	{"empty", "", Facts{}},
	{
		"innermost span, peer in fields",
		`{"level":"INFO","fields":{"restate.invocation.id":"` + greet + `","restate.invocation.target":"A/a"},"spans":[{"restate.invocation.id":"` + timer + `","restate.invocation.target":"B/b"},{"restate.invocation.id":"` + place + `","restate.invocation.target":"C/c"},{"name":"x"}]}`,
		Facts{place, []string{greet, timer}, "C/c", "INFO", "", ""},
	},
	{
		"spaced, keys in another order",
		`  { "spans" : [ { "restate.invocation.id" : "` + greet + `" } ] , "span" : { "restate.invocation.target" : "A/k e\"y/a", "restate.invocation.id" : "` + place + `" } , "level" : "WARN" } `,
		Facts{place, []string{greet}, `A/k e"y/a`, "WARN", "", ""},
	},
	{
		"duplicate keys: the first id counts",
		`{"span":{"restate.invocation.id":"nonsense","restate.invocation.id":"` + place + `","restate.invocation.id":"` + greet + `"},"level":"INFO","level":"WARN"}`,
		Facts{place, []string{greet}, "", "INFO", "", ""},
	},
	{
		"at the top level",
		`{"level":"INFO","restate.invocation.id":"` + greet + `","restate.invocation.target":"A/a","other":"` + place + `"}`,
		Facts{greet, []string{place}, "A/a", "INFO", "", ""},
	},
	{
		"places nested elsewhere don't count",
		`{"level":"INFO","text":"` + greet + `","a":{"span":{"restate.invocation.id":"` + place + `","restate.invocation.target":"A/a"}}}`,
		Facts{greet, []string{place}, "", "INFO", "", ""},
	},
	{
		"truncated",
		`{"timestamp":"2026-11-23T03:14:00.916940Z","level":"DEBUG","fields":{"restate.invocation.id":"` + greet + `"},"span":{"restate.invocation.id":"` + place + `","restate.invocation.target":"Orders/pl`,
		Facts{place, []string{greet}, "Orders/pl", "DEBUG", "", ""},
	},
	{
		"ids after escapes",
		`{"level":"INFO","fields":{"message":"ids:\n` + greet + `\t` + place + `\u001b[3;33m` + timer + `\u001b[0m"}}`,
		Facts{greet, []string{place, timer}, "", "INFO", "", ""},
	},
	{
		"a JSON record in a string",
		`{"log":"{\"level\":\"DEBUG\",\"fields\":{\"message\":\"a \\\"b\\\"\",\"restate.invocation.id\":\"` + greet + `\"},\"span\":{\"restate.invocation.id\":\"` + place + `\",\"restate.invocation.target\":\"Counter/\\\"q\\\"/add\"}}\n","stream":"stdout","time":"2026-11-23T03:14:00.1Z"}`,
		Facts{place, []string{greet}, `Counter/"q"/add`, "DEBUG", "", ""},
	},
	{
		"an SDK line in a string",
		wrap("[restate][2026-11-23T03:14:00.893Z][Counter/alice/add][" + greet + "] DEBUG: Executing 'Get state count'"),
		Facts{greet, nil, "Counter/alice/add", "DEBUG", "", ""},
	},
	{
		"a pretty line in a string",
		wrap("\x1b[2m2026-11-23T03:10:30.798094Z\x1b[0m \x1b[31mERROR\x1b[0m \x1b[1;3;31moctocrab\x1b[0m\x1b[31m"),
		Facts{Level: "ERROR"},
	},
	{
		"a JSON record behind a prefix",
		`2026-11-23T03:14:00.916940123Z stdout F {"level":"INFO","fields":{"restate.invocation.id":"` + greet + `"},"span":{"restate.invocation.id":"` + place + `","restate.invocation.target":"A/a"}}`,
		Facts{place, []string{greet}, "A/a", "INFO", "", ""},
	},
	{
		"an SDK line behind a prefix",
		"greeter-1  | [restate][2026-11-23T03:14:00.893Z][Counter/alice/add][" + greet + "] INFO: got " + place,
		Facts{greet, []string{place}, "Counter/alice/add", "INFO", "", ""},
	},
	{
		"real: 1.6, id in fields only",
		`{"timestamp":"2026-11-23T03:19:28.352485Z","level":"DEBUG","fields":{"message":"Processing invocation request","restate.invocation.id":"inv_1grkZKmXw4yn21B3A4kDd2uYmlNEKxhBSh","restate.invocation.target":"Greeter/greet"},"target":"restate_ingress_http::handler::service_handler","span":{"http.request.method":"POST","http.version":"HTTP/1.1","url.path":"/Greeter/greet","url.query":"","url.scheme":"http","name":"ingress-http-request"},"spans":[{"http.request.method":"POST","http.version":"HTTP/1.1","url.path":"/Greeter/greet","url.query":"","url.scheme":"http","name":"ingress-http-request"}]}`,
		Facts{"inv_1grkZKmXw4yn21B3A4kDd2uYmlNEKxhBSh", nil, "Greeter/greet", "DEBUG", "", ""},
	},
	{
		"real: compact, span names the current one",
		`2026-11-23T03:10:16.179617Z DEBUG run:apply_command: restate_worker::partition::state_machine: Effect: Send service invocation to partition processor rpc.service=Greeter rpc.method=greet restate.invocation.id=inv_1izah4cW9bV52brTKvvhPVQUWaiQpxNamt restate.invocation.target=Greeter/greet restate.outbox.seq=0 partition_id=2 otel.name="apply-command: InvokerEffect" restate.state_machine.command=InvokerEffect restate.invocation.id=inv_15sqbjk59MG01u83lM3xhipizm8xMAUC6U restate.invocation.target=Orders/place rpc.service=Orders rpc.method=place`,
		Facts{"inv_15sqbjk59MG01u83lM3xhipizm8xMAUC6U", []string{"inv_1izah4cW9bV52brTKvvhPVQUWaiQpxNamt"}, "Orders/place", "DEBUG", "", ""},
	},
	{
		"real: compact, target after the first mention only",
		`2026-11-23T03:10:16.088833Z DEBUG run:apply_command: restate_worker::partition::state_machine: Invoke partition_id=0 otel.name="apply-command: Invoke" restate.state_machine.command=Invoke restate.invocation.id=inv_1aOmQMs5i9fV6R2zMqJ5XYDbCeFAwz4RbQ restate.invocation.target=Greeter/greet rpc.service=Greeter rpc.method=greet restate.invocation.id=inv_1aOmQMs5i9fV6R2zMqJ5XYDbCeFAwz4RbQ`,
		Facts{"inv_1aOmQMs5i9fV6R2zMqJ5XYDbCeFAwz4RbQ", nil, "Greeter/greet", "DEBUG", "", ""},
	},
	{
		"real: compact, invocation_id",
		`2026-11-23T03:10:16.086851Z DEBUG ingress-http-request:call invocation: restate_core::network::connection_manager: express path connection reactor started swimlane=INGRESS_DATA task_id=147 http.version=HTTP/1.1 http.request.method=POST url.path="/Greeter/greet" url.query="" url.scheme="http" request_id=01M83640GP955XP64FMH5T8J3C invocation_id=inv_1aOmQMs5i9fV6R2zMqJ5XYDbCeFAwz4RbQ`,
		Facts{"inv_1aOmQMs5i9fV6R2zMqJ5XYDbCeFAwz4RbQ", nil, "", "DEBUG", "", ""},
	},
	{
		"compact, text only, then a key with a space",
		"2026-11-23T03:10:16.086851Z  INFO a: about " + greet + " restate.invocation.id=" + place + " restate.invocation.target=Counter/a b/add partition_id=2",
		Facts{place, []string{greet}, "Counter/a b/add", "INFO", "", ""},
	},
	{
		"real: pretty, first line of a record",
		"\x1b[2m2026-11-23T03:10:32.808664Z\x1b[0m \x1b[33mWARN\x1b[0m \x1b[1;3;33mrestate_invoker_impl\x1b[0m\x1b[33m\x1b[33m",
		Facts{Level: "WARN"},
	},
	{
		"real: pretty, id",
		"    \x1b[1;33mrestate.invocation.id\x1b[0m\x1b[33m: \x1b[3;33minv_1bSX5NHO3nPA5xSd1KjNxHe9MVSytWTy14\x1b[0m\x1b[33m",
		Facts{InvocationID: "inv_1bSX5NHO3nPA5xSd1KjNxHe9MVSytWTy14"},
	},
	{
		"real: SDK",
		"[restate][2026-11-23T03:14:00.893Z][Counter/alice/add][inv_1l3Hc716hrBy62g76ecIfLaJwFTaS3Ib4C] DEBUG: Executing 'Get state count'",
		Facts{"inv_1l3Hc716hrBy62g76ecIfLaJwFTaS3Ib4C", nil, "Counter/alice/add", "DEBUG", "", ""},
	},
	{
		"real: SDK without an invocation",
		"[restate][2026-11-23T03:13:59.654Z] WARN: Accepting requests without validating request signatures; handler access must be restricted",
		Facts{Level: "WARN"},
	},
	{
		"SDK, key with brackets and an id, another bracket",
		"[restate][2026-11-23T03:14:00.893Z][Counter/[" + place + "/add][" + greet + "][REPLAYING] INFO: x",
		Facts{greet, []string{place}, "Counter/[" + place + "/add", "INFO", "", ""},
	},
	{
		"the SDK for Java, with the pattern of its documentation",
		"2026-11-23 03:14:00 INFO  [Counter/a b/add][" + greet + "] my.Counter - about " + place,
		Facts{greet, []string{place}, "Counter/a b/add", "INFO", "", ""},
	},
	{
		"Java, another bracket in front",
		"2026-11-23 03:14:00 WARN  [main] [Counter/a/add][" + greet + "] my.Counter - x",
		Facts{greet, nil, "", "WARN", "", ""},
	},
	{"Java, no invocation", "2026-11-23 03:14:00,123 DEBUG [vert.x-eventloop-thread-0] dev.restate.sdk - x", Facts{Level: "DEBUG"}},
	{
		"code and count at the top level",
		`{"level":"WARN","restate.invocation.id":"` + greet + `","restate.error.code":"RT0007","retry_count":3}`,
		Facts{greet, nil, "", "WARN", "RT0007", "3"},
	},
	{
		"code and count, spaced, in text, and of the second key",
		`{ "level" : "ERROR", "fields" : { "restate.error.code" : "None", "restate.error.code" : "META0003", "retry_count" : "12" }, "span" : { "invocation_id" : "` + greet + `" } }`,
		Facts{greet, nil, "", "ERROR", "META0003", "12"},
	},
	{
		"the error of another invocation",
		`{"level":"WARN","fields":{"restate.invocation.id":"` + place + `","restate.error.code":"RT0007","retry_count":3},"span":{"restate.invocation.id":"` + greet + `"}}`,
		Facts{greet, []string{place}, "", "WARN", "", ""},
	},
	{
		"a code without an invocation, whose count isn't one of retries",
		`{"level":"ERROR","fields":{"restate.error.code":"META0003","retry_count":3},"target":"x"}`,
		Facts{Level: "ERROR", ErrorCode: "META0003"},
	},
	{
		"an error that has no code",
		`{"level":"WARN","fields":{"restate.error.code":"None","retry_count":3.5},"span":{"restate.invocation.id":"` + greet + `"}}`,
		Facts{greet, nil, "", "WARN", "", ""},
	},
	{
		"DEBUG has no errors",
		`{"level":"DEBUG","fields":{"restate.error.code":"RT0007","retry_count":3},"span":{"restate.invocation.id":"` + greet + `"}}`,
		Facts{greet, nil, "", "DEBUG", "", ""},
	},
	{
		"a coded error in a string",
		wrap(`{"level":"WARN","fields":{"restate.error.code":"RT0010"},"span":{"restate.invocation.id":"` + greet + `"}}`),
		Facts{greet, nil, "", "WARN", "RT0010", ""},
	},
	{
		"truncated in fields",
		`{"timestamp":"2026-11-23T03:14:00.916940Z","level":"WARN","fields":{"restate.error.code":"RT0007","restate.invocation.id":"` + greet + `","restate.invocation.target":"Flaky/pauses","restate.invo`,
		Facts{greet, nil, "Flaky/pauses", "WARN", "RT0007", ""},
	},
	{
		"real: compact, continuation with all",
		"> This error originated while processing Unknown restate.error.code=RT0007 restate.invocation.id=inv_12LN5XqCFr0Y7mYcDjGQKsAC9tqHaza5nb restate.invocation.target=Flaky/pauses restate.deployment.id=dp_10BEdselddbJb3gJF6DM00h restate.invocation.id=inv_12LN5XqCFr0Y7mYcDjGQKsAC9tqHaza5nb",
		Facts{"inv_12LN5XqCFr0Y7mYcDjGQKsAC9tqHaza5nb", nil, "Flaky/pauses", "", "RT0007", ""},
	},
	{"real: pretty, code", "    restate.error.code: RT0007", Facts{ErrorCode: "RT0007"}},
	{"real: pretty, a link to the code", "    Visit \x1b[1;3;33mhttps://docs.restate.dev/references/errors#RT0007\x1b[0m\x1b[33m for more info and suggestions.", Facts{}},
	{"pretty, coloured code and count", "\x1b[1;33mrestate.error.code\x1b[0m\x1b[33m: \x1b[3mRT0007\x1b[0m \x1b[1mretry_count\x1b[0m: 2 " + greet, Facts{greet, nil, "", "", "RT0007", "2"}},
	{"keys that only end so", "max_retry_count=3 xrestate.error.code=RT0007 restate.error.code RT0007 restate.error.code=rt7 a.retry_count=5 retry_count=5s " + greet, Facts{InvocationID: greet}},
	{"plain text", "curl /restate/invocation/" + greet + "/attach of " + place + ", " + greet, Facts{greet, []string{place}, "", "", "", ""}},
	{"a key in plain text", "msg about " + greet + ` restate.invocation.id="` + place + `" restate.invocation.target="A/a b" x=y`, Facts{place, []string{greet}, "A/a b", "", "", ""}},
	{"real: SDK continuation", "    at Object.terminal (file:///srv/app/checkout-svc/v1/services.mjs:110:13)", Facts{}},
	{"lookalikes", strings.Join([]string{
		"x" + greet, greet + "0", "_" + greet, greet + "_a", greet[:37], strings.Replace(greet, "inv_1", "inv_2", 1),
		"inv_1ZZZZZZZZZZZ0000000000000000000000", // partition key above 64 bits
		"inv_100000000000ZZZZZZZZZZZZZZZZZZZZZZ", // UUID above 128 bits
		"inv_1lx0wDO903kp4Qm4Z3gkn-I1G9xt71xTdn",
	}, " "), Facts{}},
}

func TestExtract(t *testing.T) {
	for _, test := range extractTests {
		t.Run(test.name, func(t *testing.T) {
			got := facts(test.line)
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", test.want) {
				t.Errorf("%s\n got %+v\nwant %+v", test.line, got, test.want)
			}
		})
	}
}

// The lines that are called real are.
func TestExtractTableIsRecorded(t *testing.T) {
	recorded := map[string]bool{}
	for _, name := range []string{"restate-debug.jsonl", "restate-v162-debug.jsonl", "restate-edge.jsonl", "restate-compact.log", "restate-pretty.log", "service-sdk-debug.log"} {
		for _, line := range recording(t, name) {
			recorded[line] = true
		}
	}
	for _, test := range extractTests {
		if strings.HasPrefix(test.name, "real") && !recorded[test.line] {
			t.Errorf("%s: not recorded: %q", test.name, test.line)
		}
	}
}

// A pretty record whose lines were joined says all.
func TestExtractPrettyRecord(t *testing.T) {
	lines := recording(t, "restate-pretty.log")
	got := facts(strings.Join(lines[111:129], "\n"))
	want := Facts{InvocationID: "inv_1bSX5NHO3nPA5xSd1KjNxHe9MVSytWTy14", Target: "Flaky/sometimes", Level: "WARN", ErrorCode: "RT0007"}
	equal(t, "facts", fmt.Sprintf("%q", got), fmt.Sprintf("%q", want))
}

// A compact record whose lines were joined says all.
func TestExtractCompactRecord(t *testing.T) {
	lines := recording(t, "restate-compact.log")
	got := facts(strings.Join(lines[106:114], "\n"))
	want := Facts{InvocationID: "inv_1l5xLOhHV2Rg6gbUqPixiDRvMMLA4U7MBx", Target: "Flaky/sometimes", Level: "WARN", ErrorCode: "RT0007"}
	equal(t, "facts", fmt.Sprintf("%q", got), fmt.Sprintf("%q", want))
}

// In text formats, too, each line that contains an id names it, and each line
// that begins a record has its level.
func TestExtractTextRecordings(t *testing.T) {
	for name, want := range map[string]struct{ ids, levels int }{
		"restate-compact.log":   {96, 116},
		"restate-pretty.log":    {10, 29},
		"service-sdk-debug.log": {364, 402},
	} {
		ids, levels := 0, 0
		for _, line := range recording(t, name) {
			f := facts(line)
			if f.InvocationID != "" {
				ids++
			}
			if f.Level != "" {
				levels++
			}
			equal(t, line, f.ids() != nil, strings.Contains(line, "inv_1"))
		}
		equal(t, name, struct{ ids, levels int }{ids, levels}, want)
	}
}

func TestExtractForgets(t *testing.T) {
	var f Facts
	f.Extract(extractTests[0].line)
	f.Extract("nothing")
	equal(t, "facts", fmt.Sprintf("%q", f), fmt.Sprintf("%q", Facts{}))
}

func TestExtractBoundsRelated(t *testing.T) {
	var line strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&line, "inv_100000000000%022d ", i)
	}
	f := facts(line.String() + "restate.invocation.id=" + greet)
	equal(t, "related", len(f.Related), maxRelated)
	equal(t, "current", f.InvocationID, greet)
	equal(t, "first related", f.Related[0], "inv_100000000000"+strings.Repeat("0", 22))
}

func TestExtractDeepNesting(t *testing.T) {
	const depth = 100_000
	line := `{"a":` + strings.Repeat(`[{"a":`, depth) + `"` + greet + `"` + strings.Repeat("}]", depth) + `,"span":{"restate.invocation.id":"` + place + `"}}`
	equal(t, "current", facts(line).InvocationID, place)

	wrapped := `{"span":{"restate.invocation.id":"` + place + `"}}`
	for range 8 {
		wrapped = wrap(wrapped)
	}
	equal(t, "current in many layers", facts(wrapped).InvocationID, place)
}

func TestExtractAllocatesNothing(t *testing.T) {
	for _, name := range []string{"restate-debug.jsonl", "restate-v162-debug.jsonl", "restate-compact.log", "restate-pretty.log", "service-sdk-debug.log"} {
		lines := recording(t, name)
		var f Facts
		equal(t, name, testing.AllocsPerRun(3, func() {
			for _, line := range lines {
				f.Extract(line)
				Timestamp(line)
			}
		}), 0)
	}
}

func TestParseInvocationIDBounds(t *testing.T) {
	for text, valid := range map[string]bool{
		"inv_1lYGhA16ahyf7N42dgm5tFLK9N8MT7fHC7":  true,  // the greatest of both
		"inv_1lYGhA16ahyg7N42dgm5tFLK9N8MT7fHC7":  false, // one more
		"inv_1lYGhA16ahyf7N42dgm5tFLK9N8MT7fHC8":  false,
		"inv_1000000000000000000000000000000000":  true,
		"inv_100000000000000000000000000000000":   false,
		"inv_10000000000000000000000000000000000": false,
		"INV_1000000000000000000000000000000000":  false,
		"":                                        false,
	} {
		_, err := ParseInvocationID(text)
		equal(t, text, err == nil, valid)
		equal(t, text, isID(text), valid)
		equal(t, text, referenceIsID(text), valid)
	}
}
