//go:build integration

package senders

import (
	"fmt"
	"net"
	"os/exec"
	"testing"

	"github.com/invoscope/invoscope/test/harness"
)

// loki-canary pushes lines, tails them and asks for those that it missed. It knows
// basic authentication only.
func TestLokiCanaryAcrossRestarts(t *testing.T) {
	r := startRelay(t)
	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	canary := harness.Spawn(t, exec.Command(harness.Binary(t, "loki-canary"),
		"-push", "-addr", hostPort(r.HTTP), "-user", "canary", "-pass", r.token(), "-port", port,
		"-interval", "20ms", "-wait", "2s", "-max-wait", "1m", "-pruneinterval", "1s",
		"-write-min-backoff", "100ms", "-write-max-backoff", "500ms", "-write-max-retries", "100",
	))
	r.restarts()
	before, err := metrics(t, address)
	if err != nil {
		t.Fatal(err)
	}
	sent := int(before["loki_canary_entries_total"])
	t.Logf("loki-canary sent %d entries across the restarts", sent)
	if sent == 0 {
		t.Fatal("loki-canary sent nothing")
	}
	// What it has queued may be on its way; its lines are numbered by their time.
	harness.Poll(t, visibleLimit, "what the canary sent is there, once", func() error {
		lines, err := r.Client().LogLines(t, `{name="loki-canary"}`)
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, line := range lines {
			if seen[line] {
				t.Fatalf("%q is there twice", line)
			}
			seen[line] = true
		}
		if len(lines) < sent {
			return fmt.Errorf("%d lines, want at least %d", len(lines), sent)
		}
		return nil
	})
	// The canary's own verdict on what it was not told by the tail meanwhile.
	harness.Poll(t, visibleLimit, "the canary has found what its tail missed", func() error {
		now, err := metrics(t, address)
		if err != nil {
			return err
		}
		for _, bad := range []string{"missing_entries", "duplicate_entries", "unexpected_entries"} {
			if n := now["loki_canary_"+bad+"_total"]; n != 0 {
				t.Fatalf("the canary counts %v %s:\n%s", n, bad, canary.Output())
			}
		}
		if now["loki_canary_websocket_missing_entries_total"] == 0 {
			return fmt.Errorf("it has not noticed that its tail was cut off")
		}
		return nil
	})
}
