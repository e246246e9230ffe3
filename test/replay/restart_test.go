//go:build integration

package replay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/invoscope/invoscope/test/harness"
)

// sender sends a line and a span at a time, as fast as they are acknowledged,
// and remembers what was.
type sender struct {
	client harness.Client
	number int
	lines  []string
	traces []string
}

// run sends until ctx ends or nobody answers any more.
func (s *sender) run(ctx context.Context, token string) {
	for i := 0; ctx.Err() == nil; i++ {
		line := fmt.Sprintf("sender %d line %d", s.number, i)
		body := fmt.Sprintf(`{"streams":[{"stream":{"kubernetes_container_name":"restate","sender":"%d"},"values":[["%d",%q]]}]}`,
			s.number, time.Now().UnixNano(), line)
		if !s.post(ctx, "/loki/api/v1/push", "application/json", token, []byte(body)) {
			return
		}
		s.lines = append(s.lines, line)
		id, traces := oneSpan(s.number, i)
		encoded, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
		if err != nil || !s.post(ctx, "/v1/traces", "application/x-protobuf", token, encoded) {
			return
		}
		s.traces = append(s.traces, id)
	}
}

// post reports whether the request was acknowledged.
func (s *sender) post(ctx context.Context, path, contentType, token string, body []byte) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.client.URL+path, strings.NewReader(string(body)))
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusOK
}

func oneSpan(sender, i int) (id string, traces ptrace.Traces) {
	traces = ptrace.NewTraces()
	rs := traces.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "Restate")
	span := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetTraceID(pcommon.TraceID{1, byte(sender), byte(i >> 8), byte(i), 15: 1})
	span.SetSpanID(pcommon.SpanID{1, byte(sender), byte(i >> 8), byte(i), 7: 1})
	span.SetName("ingress T")
	now := time.Now()
	span.SetStartTimestamp(pcommon.NewTimestampFromTime(now))
	span.SetEndTimestamp(pcommon.NewTimestampFromTime(now.Add(time.Millisecond)))
	return span.TraceID().String(), traces
}

// startSenders starts several senders that go on until stop, which returns what was
// acknowledged.
func startSenders(t *testing.T, c harness.Client) (stop func() (lines, traces []string)) {
	t.Helper()
	token, err := c.Token()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	senders := make([]*sender, 4)
	for i := range senders {
		senders[i] = &sender{client: c, number: i}
		wg.Go(func() { senders[i].run(ctx, token) })
	}
	return func() (lines, traces []string) {
		cancel()
		wg.Wait()
		for _, s := range senders {
			lines, traces = append(lines, s.lines...), append(traces, s.traces...)
		}
		return lines, traces
	}
}

// everythingIsThere waits until all that was acknowledged is found, lines
// exactly once.
func everythingIsThere(t *testing.T, c harness.Client, lines, traces []string) {
	t.Helper()
	harness.Poll(t, visibleLimit, "every acknowledged line is there", func() error {
		got, err := c.LogLines(t, `{kubernetes_container_name="restate"}`)
		if err != nil {
			return err
		}
		return contains(got, lines)
	})
	harness.Poll(t, visibleLimit, "every acknowledged trace is there", func() error {
		for _, id := range traces {
			spans, err := c.Trace(t.Context(), id)
			if err != nil || len(spans) != 1 {
				return errors.Join(err, fmt.Errorf("trace %s has %d spans", id, len(spans)))
			}
		}
		return nil
	})
}

// contains fails when a wanted line is missing or stands twice. Lines whose
// acknowledgement was cut off may be there too.
func contains(got, want []string) error {
	times := map[string]int{}
	for _, line := range got {
		times[line]++
	}
	for _, line := range want {
		if times[line] != 1 {
			return fmt.Errorf("%q was found %d times (%d lines found, %d wanted)", line, times[line], len(got), len(want))
		}
	}
	return nil
}

const sendFor = 1500 * time.Millisecond

func TestStopDuringIngestLosesNothing(t *testing.T) {
	d := harness.Start(t)
	tokenBefore, err := d.Client().Token()
	if err != nil {
		t.Fatal(err)
	}
	stop := startSenders(t, d.Client())
	<-time.After(sendFor) // what is sent meanwhile is the test's input, not its synchronisation
	// A Tempo that was queried takes its time to stop, so it is killed in between.
	if _, err := d.Client().Search(t.Context(), "{}"); err != nil {
		t.Fatal(err)
	}
	d.Stop()
	lines, traces := stop()
	if len(lines) == 0 || len(traces) == 0 {
		t.Fatal("nothing was acknowledged before the stop")
	}
	t.Logf("acknowledged %d lines and %d traces before the stop", len(lines), len(traces))

	d = harness.StartIn(t, d.DataDir)
	if token, err := d.Client().Token(); err != nil || token != tokenBefore {
		t.Errorf("the token changed with the restart (%v)", err)
	}
	everythingIsThere(t, d.Client(), lines, traces)
}

func TestEngineThatDiesComesBack(t *testing.T) {
	for _, name := range []string{"loki", "tempo"} {
		t.Run(name, func(t *testing.T) {
			d := harness.Start(t)
			pid := enginePID(t, d, name)
			stop := startSenders(t, d.Client())
			<-time.After(sendFor)
			// Traces that Tempo has acknowledged in its last seconds die with it, so
			// the test of losslessness sends only while the engine is away.
			stop()
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			after := &sender{client: d.Client(), number: 9}
			ctx, cancel := context.WithTimeout(t.Context(), sendFor)
			token, err := d.Client().Token()
			if err != nil {
				t.Fatal(err)
			}
			after.run(ctx, token)
			cancel()
			if len(after.lines) == 0 {
				t.Fatal("nothing was acknowledged while the engine was away")
			}
			everythingIsThere(t, d.Client(), after.lines, after.traces)
			if now := enginePID(t, d, name); now == pid {
				t.Errorf("%s is still process %d", name, pid)
			}
		})
	}
}

// A daemon that is killed takes its engines along, and the next one finds what
// was acknowledged.
func TestKilledDaemonLeavesNoEngines(t *testing.T) {
	d := harness.Start(t)
	stop := startSenders(t, d.Client())
	<-time.After(sendFor)
	d.Kill()
	lines, _ := stop()
	harness.Poll(t, 10*time.Second, "no engine is left", func() error {
		left, err := harness.Leftovers(d.DataDir)
		if len(left) > 0 {
			return fmt.Errorf("still running: %q", left)
		}
		return err
	})
	d = harness.StartIn(t, d.DataDir)
	harness.Poll(t, visibleLimit, "every acknowledged line is there", func() error {
		got, err := d.Client().LogLines(t, `{kubernetes_container_name="restate"}`)
		if err != nil {
			return err
		}
		return contains(got, lines)
	})
}

func enginePID(t *testing.T, d *harness.Daemon, name string) int {
	t.Helper()
	pid, err := d.EnginePID(name)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
