package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/app"
	"github.com/invoscope/invoscope/relay/queue"
)

// bury makes a dead letter in a data directory.
func bury(t *testing.T, dataDir, signal, tenant string, letter queue.Letter) {
	t.Helper()
	q, err := queue.Open(queue.Options{
		Dir: app.QueueDir(dataDir, signal), MaxBytes: 1 << 20, DeadMaxBytes: 1 << 20,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Bury(t.Context(), tenant, letter.Reason, queue.Request{Body: letter.Body, Items: 1}); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

func logRequest(t *testing.T, line string) []byte {
	t.Helper()
	raw, err := (&push.PushRequest{Streams: []push.Stream{{
		Labels:  `{kubernetes_container_name="restate"}`,
		Entries: []push.Entry{{Timestamp: time.Unix(1, 5), Line: line}},
	}}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return s2.EncodeSnappy(nil, raw)
}

func TestDeadLetterCommands(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	spans := ptrace.NewTraces()
	spans.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("invocation-start Greeter/greet")
	trace, err := new(ptrace.ProtoMarshaler).MarshalTraces(spans)
	if err != nil {
		t.Fatal(err)
	}
	bury(t, dir, "logs", "acme", queue.Letter{Reason: "timestamp too old\nand more", Body: logRequest(t, "an old line")})
	bury(t, dir, "logs", "globex", queue.Letter{Reason: "line too long", Body: logRequest(t, "a long line")})
	bury(t, dir, "traces", "acme", queue.Letter{Reason: "no such thing", Body: trace})
	command := func(args ...string) (stdout string, err error) {
		stdout, _, err = runOffline(t, append(append([]string{"queue", "dead"}, args...), "--data-dir", dir)...)
		return stdout, err
	}
	ids := func(args ...string) (ids []string) {
		out, err := command(append([]string{"list"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out) {
			ids = append(ids, strings.Fields(line)[0])
		}
		return ids[1:] // without the heading
	}

	list, err := command("list")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"acme", "globex", "traces", "timestamp too old\n", "line too long", "no such thing"} {
		if !strings.Contains(list, want) {
			t.Errorf("the list lacks %q:\n%s", want, list)
		}
	}
	if asJSON, err := command("list", "-o", "json", "--tenant", "globex"); err != nil || !strings.Contains(asJSON, `"tenant":"globex"`) || strings.Contains(asJSON, "acme") {
		t.Errorf("%s, %v", asJSON, err)
	}
	show, err := command("show", ids("--tenant", "acme", "--signal", "logs")[0])
	if err != nil || !strings.Contains(show, "an old line") || !strings.Contains(show, "1970-01-01T00:00:01.000000005Z") || strings.Contains(show, "a long line") {
		t.Errorf("%s, %v", show, err)
	}
	if show, err := command("show", "--all", "--signal", "traces"); err != nil || !strings.Contains(show, `"name":"invocation-start Greeter/greet"`) {
		t.Errorf("%s, %v", show, err)
	}
	if out, err := command("purge", ids("--tenant", "globex")[0]); err != nil || out != "1 dead letters deleted\n" {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := command("retry", "--all", "--signal", "logs"); err != nil || out != "1 dead letters will be delivered again\n" {
		t.Errorf("%s, %v", out, err)
	}
	if left := ids(); len(left) != 1 {
		t.Errorf("letters left: %v", left)
	}
}

// An engine's reason quotes what a tenant has sent.
func TestHostileReasonsAreListedHarmlessly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	bury(t, dir, "logs", "acme", queue.Letter{Reason: "label \x1b]0;pwned\x07\u202e is too long", Body: logRequest(t, "line")})
	for _, output := range []string{"text", "json"} {
		out, _, err := runOffline(t, "queue", "dead", "list", "-o", output, "--data-dir", dir)
		if err != nil || !strings.Contains(out, "is too long") || strings.ContainsFunc(out, harmful) {
			t.Errorf("%q, %v", out, err)
		}
	}
}

func TestDeadLetterCommandsNameWhatIsWrong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	bury(t, dir, "logs", "acme", queue.Letter{Reason: "why", Body: logRequest(t, "line")})
	for says, args := range map[string][]string{
		"there is no queue in":    {"list", "--data-dir", filepath.Join(dir, "nowhere")},
		"no dead letter 12345678": {"purge", "12345678", "--data-dir", dir},
		"by their ids, or all":    {"purge", "--data-dir", dir},
		`"1234" is no id`:         {"show", "1234", "--data-dir", dir},
		"with --all":              {"retry", "--all", "12345678", "--data-dir", dir},
		"must be one of":          {"list", "--signal", "metrics", "--data-dir", dir},
	} {
		if _, _, err := runOffline(t, append([]string{"queue", "dead"}, args...)...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want it to say %q", args, err, says)
		}
	}
}
