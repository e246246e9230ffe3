package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
)

const (
	neighbours = 8 // healthy tenants
	// Each tenant, the stalled one too, sends so many requests a second.
	stallRate  = 20
	stallBatch = 10 // lines in each
)

// phase is a time in which the stub treats the stalled tenant in one way.
type phase struct {
	how       string
	latencies []time.Duration // of the neighbours' lines, from sending to the stub
	refused   int             // of all tenants' requests
}

// runStall measures what a stalled tenant does to its neighbours. Phases without
// a stall stand between those with one, so that the machine's own noise shows.
func runStall(ctx context.Context, opts options, stdout io.Writer) error {
	stub, err := startStub(ctx, opts.dir)
	if err != nil {
		return err
	}
	defer stub.child.stop()
	daemon, info, err := startDaemon(ctx, opts, opts.dir, stub)
	if err != nil {
		return err
	}
	defer daemon.stop()
	var tenants []*tenantSender
	for i := range neighbours + 1 {
		name := fmt.Sprintf("neighbour-%d", i)
		if i == neighbours {
			name = stalledTenant
		}
		sender, err := newTenantSender(ctx, opts, info, name)
		if err != nil {
			return err
		}
		defer sender.http.close()
		tenants = append(tenants, sender)
	}
	var phases []phase
	for _, how := range []string{stallNot, stallHangs, stallNot, stall429, stallNot, stall503, stallNot} {
		fmt.Fprintln(opts.progress, time.Now().Format(time.TimeOnly), "stall:", how)
		p, err := runPhase(ctx, opts.duration, stub, tenants, how)
		if err != nil {
			return fmt.Errorf("stall %s: %w", how, err)
		}
		phases = append(phases, p)
		if _, err := stub.drained(ctx, daemon.pid()); err != nil {
			return err
		}
	}
	return printPhases(stdout, phases)
}

func runPhase(ctx context.Context, d time.Duration, stub *runningStub, tenants []*tenantSender, how string) (phase, error) {
	p := phase{how: how}
	if err := stub.stall(ctx, how); err != nil {
		return p, err
	}
	if _, err := stub.state(ctx, "?latencies"); err != nil {
		return p, err
	}
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	errs := make([]error, len(tenants))
	var group sync.WaitGroup
	for i, t := range tenants {
		t.refused = 0
		group.Go(func() { errs[i] = t.run(limited) })
	}
	group.Wait()
	for _, t := range tenants {
		p.refused += t.refused
	}
	// What the neighbours sent last is under way.
	select {
	case <-ctx.Done():
		return p, ctx.Err()
	case <-time.After(quiet):
	}
	state, err := stub.state(ctx, "")
	if err != nil {
		return p, err
	}
	for tenant, latencies := range state.Latencies {
		if tenant != stalledTenant {
			p.latencies = append(p.latencies, latencies...)
		}
	}
	return p, errors.Join(append(errs, stub.stall(ctx, stallNot))...)
}

// tenantSender sends a tenant's lines at a steady rate.
type tenantSender struct {
	name    string
	http    *httpSender
	lines   *lineSource
	refused int
}

func newTenantSender(ctx context.Context, opts options, info runInfo, tenant string) (*tenantSender, error) {
	issue := exec.CommandContext(ctx, opts.binary("invoscope"), "token", "issue",
		"--data-dir", filepath.Dir(info.TokenFile), "--tenant", tenant, "--scope", "logs:write")
	issue.Stderr = opts.progress
	token, err := issue.Output()
	if err != nil {
		return nil, fmt.Errorf("issue a token for %s: %w", tenant, err)
	}
	lines, err := recordedLines(filepath.Join(opts.root, "testdata", "restate"))
	if err != nil {
		return nil, err
	}
	return &tenantSender{
		name:  tenant,
		lines: &lineSource{lines: lines},
		http: newHTTPSender(endpoint{
			Address: strings.TrimPrefix(info.HTTP, "http://"), Path: "/loki/api/v1/push",
			Header: map[string]string{"Authorization": "Bearer " + strings.TrimSpace(string(token))},
		}),
	}, nil
}

func (t *tenantSender) run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second / stallRate)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		stream := push.Stream{Labels: `{kubernetes_container_name="restate"}`}
		now := time.Now()
		for range stallBatch {
			line, _ := t.lines.next()
			stream.Entries = append(stream.Entries, push.Entry{Timestamp: now, Line: line})
		}
		encoded, err := (&push.PushRequest{Streams: []push.Stream{stream}}).Marshal()
		if err != nil {
			return fmt.Errorf("encode a push of %s: %w", t.name, err)
		}
		switch got, err := t.http.send(context.WithoutCancel(ctx), snappy.Encode(nil, encoded)); got {
		case acknowledged:
		case refused:
			t.refused++
		default:
			return fmt.Errorf("push of %s: %w", t.name, err)
		}
	}
}

// printPhases prints each phase beside the mean of those without a stall.
func printPhases(w io.Writer, phases []phase) error {
	var p50, p99 time.Duration
	var free int
	for _, p := range phases {
		if p.how == stallNot {
			p50, p99, free = p50+quantile(p.latencies, 0.5), p99+quantile(p.latencies, 0.99), free+1
		}
	}
	fmt.Fprintf(w, "%d tenants send %d lines/s each and so does one that the engine stalls; from sending to the engine:\n",
		neighbours, stallRate*stallBatch)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "stalled\tlines\tp50\tp99\tp50 ratio\tp99 ratio\trefused\t")
	for _, p := range phases {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%.2f\t%.2f\t%d\t\n", p.how, len(p.latencies),
			milliseconds(quantile(p.latencies, 0.5)), milliseconds(quantile(p.latencies, 0.99)),
			ratio(quantile(p.latencies, 0.5), p50, free), ratio(quantile(p.latencies, 0.99), p99, free), p.refused)
	}
	return table.Flush()
}

// ratio of a duration to the mean of n that add up to sum.
func ratio(d, sum time.Duration, n int) float64 { return float64(d) / (float64(sum) / float64(n)) }
