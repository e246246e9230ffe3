//go:build integration

package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	api "github.com/invoscope/invoscope/relay/invocation"
	"github.com/invoscope/invoscope/test/harness"
)

const (
	invocationsPath = "/api/invoscope/v1/invocations"
	jsonType        = "application/json"
	// indexLimit is long beside the second or so that deliveries take.
	indexLimit = 30 * time.Second
)

// outcome is what became of an invocation, in the words of the API.
func (i invocation) outcome() string {
	switch {
	case i.Result == "success":
		return "succeeded"
	case i.Result == "failure":
		return "failed"
	}
	return i.Status
}

// TestIndexSurvivesKills kills the daemon right after it acknowledged a recording,
// and again when the index is whole.
func TestIndexSurvivesKills(t *testing.T) {
	rec := load(t, time.Minute)
	dir := t.TempDir()
	d := harness.StartIn(t, dir)
	ship(t, d.Client(), rec.lines)
	sendTraces(t, d, rec)
	d.Kill()

	d = harness.StartIn(t, dir)
	harness.Poll(t, indexLimit, "the index knows the recording", func() error { return rec.checkIndex(t, d.Client(), true) })
	d.Kill()

	d = harness.StartIn(t, dir)
	if err := rec.checkIndex(t, d.Client(), true); err != nil {
		t.Errorf("after the second kill: %v", err)
	}
	checkStamps(t, d, rec)
	if err := d.Terminate(); err != nil {
		t.Fatal(err)
	}

	if err := os.RemoveAll(filepath.Join(dir, "index")); err != nil {
		t.Fatal(err)
	}
	d = harness.StartIn(t, dir)
	harness.Poll(t, indexLimit, "the index is rebuilt", func() error {
		cmd := exec.Command(harness.Binary(t, "invoscope"), "index", "rebuild", "--data-dir", dir, "--since", "1h")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("invoscope index rebuild: %w\n%s", err, out)
		}
		return rec.checkIndex(t, d.Client(), false)
	})
}

func sendTraces(t *testing.T, d *harness.Daemon, rec recording) {
	t.Helper()
	token, err := d.Client().Token()
	if err != nil {
		t.Fatal(err)
	}
	send := overGRPC(d.OTLPGRPC, "")
	for _, traces := range rec.traces {
		send(t, token, traces)
	}
}

// checkIndex compares the invocation API's answers with the truth. Without lines,
// what only log lines tell may be missing; those that the queue delivers again after
// a restart may tell it all the same.
func (r recording) checkIndex(t *testing.T, c harness.Client, lines bool) error {
	t.Helper()
	body, err := c.Get(t.Context(), invocationsPath+"?limit=1000", jsonType)
	if err != nil {
		return err
	}
	var page api.Page
	if err := json.Unmarshal(body, &page); err != nil {
		return err
	}
	known := map[string]api.Summary{}
	for _, s := range page.Invocations {
		known[s.ID] = s
	}
	var errs []error
	for _, want := range r.invocations {
		if !lines && len(want.traceIDs()) == 0 {
			delete(known, want.ID)
			continue
		}
		errs = append(errs, checkInvocation(t, c, want, known[want.ID], lines))
		delete(known, want.ID)
	}
	if len(known) > 0 {
		errs = append(errs, fmt.Errorf("invocations that nobody recorded: %v", known))
	}
	return errors.Join(errs...)
}

func checkInvocation(t *testing.T, c harness.Client, want invocation, listed api.Summary, lines bool) error {
	t.Helper()
	body, err := c.Get(t.Context(), invocationsPath+"/"+want.ID, jsonType)
	if err != nil {
		return err
	}
	var got api.Invocation
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	var traces []string
	for _, trace := range got.Traces {
		traces = append(traces, trace.ID)
	}
	slices.Sort(traces)
	outcome := want.outcome()
	if !lines && outcome == "paused" && got.Outcome == "running" {
		outcome = "running" // no span tells
	}
	if got.Target != want.Target || got.Outcome != outcome || listed.Outcome != outcome || got.Caller != want.Caller || !slices.Equal(traces, want.traceIDs()) {
		return fmt.Errorf("%s: %+v, not %+v", want.ID, got, want)
	}
	return nil
}

// checkStamps sends the lines again, on a stream of their own, now that the traces
// of their invocations are known.
func checkStamps(t *testing.T, d *harness.Daemon, rec recording) {
	t.Helper()
	shipAs(t, d.Client(), "again", rec.lines)
	want := 0
	for _, line := range rec.lines {
		id := current(t, line)
		if i := slices.IndexFunc(rec.invocations, func(i invocation) bool { return i.ID == id }); i >= 0 && len(rec.invocations[i].traceIDs()) > 0 {
			want++
		}
	}
	harness.Poll(t, visibleLimit, "lines carry their trace's id", func() error {
		lines, err := d.Client().LogLines(t, `{cluster="again"} | trace_id=~"[0-9a-f]{32}"`)
		if err == nil && len(lines) < want {
			err = fmt.Errorf("%d lines, not %d", len(lines), want)
		}
		return err
	})
}
