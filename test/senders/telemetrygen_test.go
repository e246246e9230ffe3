//go:build integration

package senders

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/invoscope/invoscope/test/harness"
)

// generation is a run of telemetrygen.
type generation struct {
	signal, protocol string // "logs" or "traces", "grpc" or "http"
	n                int    // logs or traces
	rate             int    // logs or spans a second; 0: no bound
}

// service is the service's name to find them by.
func (g generation) service() string { return g.signal + "-" + g.protocol }

func (g generation) start(t *testing.T, r *relay) *harness.Process {
	t.Helper()
	args := []string{
		g.signal, "--otlp-insecure", "--service", g.service(), "--batch-size", strconv.Itoa(batchSize),
		"--timeout", "60s", // else the SDK gives up before its slow retries succeed
		fmt.Sprintf("--rate=%d", g.rate), fmt.Sprintf("--%s=%d", g.signal, g.n),
		fmt.Sprintf("--otlp-header=authorization=%q", "Bearer "+r.token()),
	}
	if g.protocol == "http" {
		args = append(args, "--otlp-http", "--otlp-endpoint", hostPort(r.OTLPHTTP))
	} else {
		args = append(args, "--otlp-endpoint", r.OTLPGRPC)
	}
	if g.signal == "traces" {
		args = append(args, "--child-spans", "2")
	}
	return harness.Spawn(t, exec.Command(harness.Binary(t, "telemetrygen"), args...))
}

// batchSize is how many records or spans a request of telemetrygen holds. It has
// one under way at a time.
const batchSize = 10

// spansOfTrace is what telemetrygen makes of a trace with two child spans.
const spansOfTrace = 3

// finished waits for telemetrygen and fails if it gave anything up.
func finished(t *testing.T, p *harness.Process) {
	t.Helper()
	if err := p.Wait(visibleLimit); err != nil {
		t.Errorf("telemetrygen: %v", err)
	}
	// Of spans that are lost, the SDK only writes.
	for _, bad := range []string{"export:", "ERROR", "FATAL"} {
		if strings.Contains(p.Output(), bad) {
			t.Errorf("telemetrygen gave something up:\n%s", p.Output())
		}
	}
}

// Over gRPC the SDK tries again, so it goes on while the relay is restarted.
func TestTelemetrygenOverGRPCAcrossRestarts(t *testing.T) {
	r := startRelay(t)
	logs, traces := generation{"logs", "grpc", 400, 50}, generation{"traces", "grpc", 140, 50}
	sendsLogs, sendsTraces := logs.start(t, r), traces.start(t, r)
	r.restarts()
	finished(t, sendsLogs)
	finished(t, sendsTraces)
	r.linesAreThere(`{service_name="logs-grpc"}`, logs.n)
	r.tracesAreThere(traces.service(), traces.n, spansOfTrace, batchSize)
}

// Over HTTP the SDK doesn't try again when nobody answers. All that it has sent
// when the relay is killed is there afterwards.
func TestTelemetrygenOverHTTPThenKill(t *testing.T) {
	r := startRelay(t)
	logs, traces := generation{"logs", "http", 300, 0}, generation{"traces", "http", 100, 0}
	sendsLogs, sendsTraces := logs.start(t, r), traces.start(t, r)
	finished(t, sendsLogs)
	finished(t, sendsTraces)
	r.killAndStart()
	r.linesAreThere(`{service_name="logs-http"}`, logs.n)
	r.tracesAreThere(traces.service(), traces.n, spansOfTrace, 0)
}
