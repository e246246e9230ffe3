//go:build integration

package senders

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/test/harness"
)

const (
	// visibleLimit is how long what was sent may take to be found: senders wait
	// between tries, and so does the relay.
	visibleLimit = 90 * time.Second
	// sendFor is how long senders send between two restarts: their input, which
	// nothing waits for.
	sendFor = time.Second
)

// relay is a daemon that can be restarted at the same addresses, which senders
// were told once.
type relay struct {
	*harness.Daemon
	t     *testing.T
	flags []string
}

func startRelay(t *testing.T, flags ...string) *relay {
	t.Helper()
	d := harness.Start(t, flags...)
	return &relay{Daemon: d, t: t, flags: append(flags,
		"--http", hostPort(d.HTTP), "--otlp-grpc", d.OTLPGRPC, "--otlp-http", hostPort(d.OTLPHTTP))}
}

func hostPort(url string) string { return strings.TrimPrefix(url, "http://") }

func (r *relay) token() string {
	r.t.Helper()
	token, err := r.Client().Token()
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

// stopAndStart ends the daemon with SIGTERM and starts it again.
func (r *relay) stopAndStart() {
	r.t.Helper()
	r.Stop()
	r.Daemon = harness.StartIn(r.t, r.DataDir, r.flags...)
}

// killAndStart ends the daemon with SIGKILL, which takes its engines along, and
// starts it again.
func (r *relay) killAndStart() {
	r.t.Helper()
	r.Kill()
	r.Daemon = harness.StartIn(r.t, r.DataDir, r.flags...)
}

// restarts ends the daemon in both ways while something sends.
func (r *relay) restarts() {
	r.t.Helper()
	<-time.After(sendFor)
	r.stopAndStart()
	<-time.After(sendFor)
	r.killAndStart()
	<-time.After(sendFor)
}

// linesAreThere waits until the query finds as many lines as want says, each of
// another time: Loki drops a line that it has already.
func (r *relay) linesAreThere(query string, want int) {
	r.t.Helper()
	harness.Poll(r.t, visibleLimit, fmt.Sprintf("%d lines are there", want), func() error {
		got, err := r.Client().LogLines(r.t, query)
		if err == nil && len(got) != want {
			err = fmt.Errorf("%d lines, want %d", len(got), want)
		}
		return err
	})
}

// tracesAreThere waits until service has as many traces as want says, and each has
// as many spans as each. Tempo doesn't drop a span that it has already when both
// came within a second or so; repeats are how many spans a sender may have sent
// again, not knowing what became of a request that was under way.
func (r *relay) tracesAreThere(service string, want, each, repeats int) {
	r.t.Helper()
	harness.Poll(r.t, visibleLimit, fmt.Sprintf("%d traces are there", want), func() error {
		ids, err := r.Client().Search(r.t.Context(), fmt.Sprintf(`{ resource.service.name = %q }`, service))
		if err == nil && len(ids) != want {
			err = fmt.Errorf("%d traces, want %d", len(ids), want)
		}
		if err != nil {
			return err
		}
		repeated := 0
		for _, id := range ids {
			spans, err := r.Client().Trace(r.t.Context(), id)
			distinct := map[string]bool{}
			for _, span := range spans {
				distinct[span.SpanID] = true
			}
			if err != nil || len(distinct) != each {
				return errors.Join(err, fmt.Errorf("trace %s has %d spans, want %d", id, len(distinct), each))
			}
			repeated += len(spans) - len(distinct)
		}
		if repeated > repeats {
			return fmt.Errorf("%d spans are there twice; at most %d can be the sender's doing", repeated, repeats)
		}
		return nil
	})
}

// freeAddress is an address on loopback that nobody listens on, for a program
// that doesn't tell which one it took.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// metrics reads what a Prometheus exporter says at address, summed by name over
// all labels.
func metrics(t *testing.T, address string) (map[string]float64, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	sums := map[string]float64{}
	scanner := bufio.NewScanner(bytes.NewReader(body))
	for scanner.Scan() {
		line := scanner.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", line, err)
		}
		name, _, _ := strings.Cut(line[:at], "{")
		sums[name] += value
	}
	return sums, scanner.Err()
}
