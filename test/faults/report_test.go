//go:build integration

package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// report is what a run comes to.
type report struct {
	batches, sent, acknowledged map[string]int // items; by signal, batches by way
	refused                     map[string]int // by way and status
	odd                         []string       // refusals that tell a sender not to try again

	found      map[string]int // by signal
	wrong      verdict
	foreign    []string
	phantom    int // items that were never sent, and are missed as they should be
	phantomAll int
}

func signal(w way) string {
	if w.items() == spansInTrace {
		return "spans"
	}
	return "lines"
}

// sum adds up what the senders know.
func sum(senders []*sender) *report {
	r := &report{batches: map[string]int{}, sent: map[string]int{}, acknowledged: map[string]int{}, refused: map[string]int{}, found: map[string]int{}}
	for _, s := range senders {
		r.batches[string(s.way)] += s.sent
		r.sent[signal(s.way)] += s.sent * s.way.items()
		r.acknowledged[signal(s.way)] += len(s.acknowledged) * s.way.items()
		for status, n := range s.refused {
			r.refused[string(s.way)+" "+status] += n
		}
		r.odd = append(r.odd, s.odd...)
	}
	return r
}

// take adds what was found in one tenant.
func (r *report) take(tn *tenant, o outcome) {
	r.wrong.add(check(tn.accounts, o.found))
	r.foreign = append(r.foreign, o.foreign...)
	for it := range o.found {
		r.found[signal(it.way)]++
	}
	before := len(check(tn.accounts, o.found).missing)
	with, _ := phantom(tn.accounts)
	r.phantom += len(check(with, o.found).missing) - before
	for _, a := range tn.accounts {
		r.phantomAll += a.way.items()
	}
}

// missing counts what is missing of a signal.
func missing(items []item, name string) int {
	n := 0
	for _, it := range items {
		if signal(it.way) == name {
			n++
		}
	}
	return n
}

func (r *report) String() string {
	var b strings.Builder
	for _, name := range []string{"lines", "spans"} {
		fmt.Fprintf(&b, "%s: %d sent, %d acknowledged, %d found, %d missing\n",
			name, r.sent[name], r.acknowledged[name], r.found[name], missing(r.wrong.missing, name))
	}
	fmt.Fprintf(&b, "there twice: %d lines, %d spans that their sender repeated, %d other spans\n",
		len(r.wrong.duplicates), len(r.wrong.repeated), len(r.wrong.redelivered))
	fmt.Fprintf(&b, "foreign: %d, never sent: %d\n", len(r.foreign), len(r.wrong.unsent))
	fmt.Fprintf(&b, "batches: %s\nrefusals: %s\n", list(r.batches), list(r.refused))
	return b.String()
}

// list writes counts, sorted by name.
func list(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}

// first is the beginning of a list, for a message.
func first[T any](all []T) []T { return all[:min(len(all), 10)] }
