package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	// lookupPairs is how many invocations are asked for, by everyone in turn.
	lookupPairs = 500
	// lookupWarm is how many are asked for before, without a clock.
	lookupWarm = 20
)

// asker asks for an invocation in one way.
type asker struct {
	name    string
	client  *http.Client
	base    string
	headers []string
	// query and range of the question.
	query func(*invocation) string
	from  func(*invocation, time.Time) (from, to time.Time)

	took   []time.Duration
	found  int
	slow   int // lookups given up, which the index took too long for
	blocks int // that Tempo looked at for the last answer
}

// published is the query of Grafana's derived field, as documented.
func published(i *invocation) string { return `{ .restate.invocation.id="` + i.id + `" }` }

// lastDay is the range that Grafana shows.
func lastDay(_ *invocation, now time.Time) (from, to time.Time) {
	return now.Add(-24 * time.Hour), now
}

// lastMinutes is a range in which none of the invocations is.
func lastMinutes(_ *invocation, now time.Time) (from, to time.Time) {
	return now.Add(-15 * time.Minute), now
}

// known is the range that an invocation is in, and spans the query for its spans:
// what the relay makes of them.
func known(i *invocation, _ time.Time) (from, to time.Time) {
	return i.from.Add(-time.Second), i.to.Add(2 * time.Second)
}

func spans(i *invocation) string { return `{ span.restate.invocation.id = "` + i.id + `" }` }

func (l *lookup) askers(relay *http.Client) []*asker {
	return []*asker{
		{name: "tempo", client: l.tempo, base: "http://tempo", query: published, from: lastDay},
		{name: "relay, lookups off", client: relay, base: l.info.HTTP, headers: []string{"X-Invoscope-Lookup: off"}, query: published, from: lastDay},
		{name: "relay", client: relay, base: l.info.HTTP, query: published, from: lastDay},
		{name: "relay, asked for the last 15 min", client: relay, base: l.info.HTTP, query: published, from: lastMinutes},
		{name: "tempo, asked as the relay does", client: l.tempo, base: "http://tempo", query: spans, from: known},
	}
}

// measure asks for one invocation after the other, everyone in turn and in another
// order each time, and prints how long that took.
func (l *lookup) measure(ctx context.Context, stdout io.Writer) error {
	defer l.daemon.stop()
	defer l.tempo.CloseIdleConnections()
	relay := &http.Client{Transport: &http.Transport{}}
	defer relay.CloseIdleConnections()
	askers := l.askers(relay)
	day := time.Now().Add(-24 * time.Hour)
	for asked := 0; asked < lookupPairs+lookupWarm; {
		i := l.sample[rand.IntN(len(l.sample))]
		if i.from.Before(day.Add(time.Hour)) {
			continue // "the last 24 hours" may not have it any more
		}
		for _, n := range rand.Perm(len(askers)) {
			a := askers[n]
			took, err := l.one(ctx, a, i)
			if err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			if asked >= lookupWarm {
				a.took = append(a.took, took)
			}
		}
		if asked++; asked == lookupWarm {
			for _, a := range askers {
				a.found, a.slow = 0, 0
			}
		}
		if asked%100 == 0 {
			fmt.Fprintln(l.opts.progress, time.Now().Format(time.TimeOnly), asked, "asked for")
		}
	}
	if blocks := askers[0].blocks; blocks < lookupBlocks {
		return fmt.Errorf("a search of 24 hours looked at %d blocks, want %d", blocks, lookupBlocks)
	}
	if err := printAskers(stdout, askers); err != nil {
		return err
	}
	for _, a := range askers {
		if a.found+a.slow < len(a.took) {
			return fmt.Errorf("%s: %d of %d were found, and %d lookups were too slow", a.name, a.found, len(a.took), a.slow)
		}
	}
	return nil
}

// one asks once, and looks whether just the invocation's traces were found.
func (l *lookup) one(ctx context.Context, a *asker, i *invocation) (time.Duration, error) {
	from, to := a.from(i, time.Now())
	question := a.base + "/api/search?" + url.Values{
		"q": {a.query(i)}, "limit": {"20"}, "spss": {"3"},
		"start": {strconv.FormatInt(from.Unix(), 10)}, "end": {strconv.FormatInt(to.Unix(), 10)},
	}.Encode()
	start := time.Now()
	body, looked, err := l.ask(ctx, a.client, question, http.StatusOK, a.headers...)
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Traces []struct {
			TraceID string `json:"traceID"`
		} `json:"traces"`
		Metrics struct {
			Blocks int `json:"totalBlocks"`
		} `json:"metrics"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("decode the answer: %w", err)
	}
	a.blocks = answer.Metrics.Blocks
	all := len(answer.Traces) == len(i.traces)
	for _, trace := range answer.Traces {
		// Tempo leaves leading zeros out.
		all = all && i.traces[strings.Repeat("0", max(0, 32-len(trace.TraceID)))+trace.TraceID]
	}
	switch {
	case all:
		a.found++
	case looked == "error":
		a.slow++
	}
	return took, nil
}

// printAskers prints each asker beside the first.
func printAskers(w io.Writer, askers []*asker) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "asked\tfound\ttoo slow\tblocks\tp50\tp99\tp50 ratio\tp99 ratio\t")
	p50, p99 := quantile(askers[0].took, 0.5), quantile(askers[0].took, 0.99)
	for _, a := range askers {
		mine50, mine99 := quantile(a.took, 0.5), quantile(a.took, 0.99)
		fmt.Fprintf(table, "%s\t%d/%d\t%d\t%d\t%s\t%s\t%.1f\t%.1f\t\n", a.name, a.found, len(a.took), a.slow, a.blocks,
			milliseconds(mine50), milliseconds(mine99), p50.Seconds()/mine50.Seconds(), p99.Seconds()/mine99.Seconds())
	}
	return table.Flush()
}
