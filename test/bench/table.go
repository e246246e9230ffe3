package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// String is one line about a result.
func (r result) String() string {
	s := fmt.Sprintf("%.0f items/s, %.2f %s, %s", r.rate(), r.cost(), r.costUnit(), r.problems())
	return s
}

// rate is items a second, from the first request until the stub had everything.
func (r result) rate() float64 { return float64(r.closed.Items) / r.through.Seconds() }

// cost is the CPU seconds for a GB (10^9 bytes) of lines or a million spans.
func (r result) cost() float64 {
	if isLogs(r.protocol) {
		return r.cpu.Seconds() / float64(r.closed.Bytes) * 1e9
	}
	return r.cpu.Seconds() / float64(r.closed.Items) * 1e6
}

func (r result) costUnit() string {
	if isLogs(r.protocol) {
		return "CPU-s/GB"
	}
	return "CPU-s/M spans"
}

// problems is the requests that weren't acknowledged.
func (r result) problems() string {
	s := fmt.Sprintf("%d refused, %d failed", r.closed.Refused, r.closed.Failed)
	if r.closed.Error != "" {
		s += " (" + r.closed.Error + ")"
	}
	return s
}

func printResults(w io.Writer, results []result) error {
	for _, logs := range []bool{true, false} {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		if logs {
			fmt.Fprintln(table, "contender\tlogs\tlines\tacknowledged/s\tdelivered/s\tMB/s\tCPU-s/GB\tRSS MB\tp50\tp99\tp99 at half\trefused\tfailed\t")
		} else {
			fmt.Fprintln(table, "contender\ttraces\tspans\tacknowledged/s\tdelivered/s\tMB/s\tCPU-s/M spans\tRSS MB\tp50\tp99\tp99 at half\trefused\tfailed\t")
		}
		for _, r := range results {
			if isLogs(r.protocol) == logs {
				printResult(table, r)
			}
		}
		if err := table.Flush(); err != nil {
			return fmt.Errorf("print the table: %w", err)
		}
		fmt.Fprintln(w)
	}
	return nil
}

func printResult(w io.Writer, r result) {
	half := "-"
	if r.half != nil {
		half = milliseconds(r.half.P99)
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%.0f\t%.0f\t%.1f\t%.2f\t%d\t%s\t%s\t%s\t%d\t%d\t\n",
		r.contender, r.protocol, r.batch,
		float64(r.closed.Items)/r.closed.Elapsed.Seconds(), r.rate(),
		float64(r.closed.Bytes)/r.through.Seconds()/1e6, r.cost(), r.memory/1e6,
		milliseconds(r.closed.P50), milliseconds(r.closed.P99), half, r.closed.Refused, r.closed.Failed)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }
