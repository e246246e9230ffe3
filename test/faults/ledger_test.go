package faults

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// way is one of the ways in which tenants send.
type way string

const (
	lokiPush way = "loki-push"
	otlpLogs way = "otlp-logs"
	otlpHTTP way = "otlp-http" // traces
	otlpGRPC way = "otlp-grpc" // traces
)

var (
	logWays   = []way{lokiPush, otlpLogs}
	traceWays = []way{otlpHTTP, otlpGRPC}
)

const (
	linesInBatch = 20
	spansInTrace = 5 // a batch of spans is one trace
)

// items is how many lines or spans a batch of this way has.
func (w way) items() int {
	if slices.Contains(traceWays, w) {
		return spansInTrace
	}
	return linesInBatch
}

// item is one line or span of a tenant.
type item struct {
	way   way
	batch int
	index int // in its batch
}

func (i item) String() string { return fmt.Sprintf("%s batch %d item %d", i.way, i.batch, i.index) }

func compareItems(a, b item) int {
	return cmp.Or(cmp.Compare(a.way, b.way), cmp.Compare(a.batch, b.batch), cmp.Compare(a.index, b.index))
}

// account is what one tenant sent in one way. Batches count from 0.
type account struct {
	way          way
	sent         int          // batches that were sent at least once
	acknowledged map[int]bool // batches whose sender was told that all is well
	repeated     map[int]bool // batches whose sender sent them more than once
}

// verdict is how what was found differs from what should be there.
type verdict struct {
	missing    []item // acknowledged, and not found
	duplicates []item // lines that were found more than once: Loki keeps equal ones once
	unsent     []item // never sent
	// Tempo keeps equal spans that come into the same trace in its memory, and
	// only then. Delivery at least once makes some, and so do the senders.
	repeated    []item // spans found more than once that their sender repeated
	redelivered []item // the other spans found more than once
}

// add joins what is wrong with another tenant's or another way's items.
func (v *verdict) add(o verdict) {
	v.missing = append(v.missing, o.missing...)
	v.duplicates = append(v.duplicates, o.duplicates...)
	v.unsent = append(v.unsent, o.unsent...)
	v.repeated = append(v.repeated, o.repeated...)
	v.redelivered = append(v.redelivered, o.redelivered...)
}

// check compares a tenant's accounts with how often each item was found. An item
// that was sent and not acknowledged may be there or not.
func check(accounts []account, found map[item]int) verdict {
	var v verdict
	byWay := map[way]account{}
	for _, a := range accounts {
		byWay[a.way] = a
		for batch := range a.acknowledged {
			for i := range a.way.items() {
				if it := (item{a.way, batch, i}); found[it] == 0 {
					v.missing = append(v.missing, it)
				}
			}
		}
	}
	for it, times := range found {
		switch {
		case times < 2:
		case it.way.items() == linesInBatch:
			v.duplicates = append(v.duplicates, it)
		case byWay[it.way].repeated[it.batch]:
			v.repeated = append(v.repeated, it)
		default:
			v.redelivered = append(v.redelivered, it)
		}
		if it.batch < 0 || it.batch >= byWay[it.way].sent || it.index < 0 || it.index >= it.way.items() {
			v.unsent = append(v.unsent, it)
		}
	}
	for _, items := range [][]item{v.missing, v.duplicates, v.unsent, v.repeated, v.redelivered} {
		slices.SortFunc(items, compareItems)
	}
	return v
}

// phantom adds to each account an acknowledged batch that was never sent: a check
// that doesn't miss it checks nothing.
func phantom(accounts []account) (with []account, batches int) {
	for _, a := range accounts {
		acknowledged := maps.Clone(a.acknowledged)
		if acknowledged == nil {
			acknowledged = map[int]bool{}
		}
		acknowledged[a.sent] = true
		with = append(with, account{way: a.way, sent: a.sent, acknowledged: acknowledged})
	}
	return with, len(with)
}

func TestCheck(t *testing.T) {
	accounts := []account{
		{way: lokiPush, sent: 3, acknowledged: map[int]bool{0: true, 2: true}},
		{way: otlpGRPC, sent: 2, acknowledged: map[int]bool{1: true}, repeated: map[int]bool{0: true}},
	}
	all := func() map[item]int {
		found := map[item]int{}
		for _, a := range accounts {
			for batch := range a.acknowledged {
				for i := range a.way.items() {
					found[item{a.way, batch, i}] = 1
				}
			}
		}
		return found
	}
	for name, c := range map[string]struct {
		change func(map[item]int)
		want   verdict
	}{
		"all is there":           {func(map[item]int) {}, verdict{}},
		"unacknowledged is kept": {func(f map[item]int) { f[item{lokiPush, 1, 4}] = 1 }, verdict{}},
		"a line is lost":         {func(f map[item]int) { delete(f, item{lokiPush, 2, 19}) }, verdict{missing: []item{{lokiPush, 2, 19}}}},
		"a span is lost":         {func(f map[item]int) { delete(f, item{otlpGRPC, 1, 0}) }, verdict{missing: []item{{otlpGRPC, 1, 0}}}},
		"a line stands twice":    {func(f map[item]int) { f[item{lokiPush, 0, 0}] = 2 }, verdict{duplicates: []item{{lokiPush, 0, 0}}}},
		"an unacknowledged line stands twice": {
			func(f map[item]int) { f[item{lokiPush, 1, 0}] = 2 }, verdict{duplicates: []item{{lokiPush, 1, 0}}},
		},
		"a span that was sent twice stands twice": {
			func(f map[item]int) { f[item{otlpGRPC, 0, 1}] = 2 }, verdict{repeated: []item{{otlpGRPC, 0, 1}}},
		},
		"a span that was sent once stands twice": {
			func(f map[item]int) { f[item{otlpGRPC, 1, 1}] = 2 }, verdict{redelivered: []item{{otlpGRPC, 1, 1}}},
		},
		"what nobody sent": {func(f map[item]int) { f[item{lokiPush, 3, 0}] = 1 }, verdict{unsent: []item{{lokiPush, 3, 0}}}},
		"of an unused way": {func(f map[item]int) { f[item{otlpLogs, 0, 0}] = 1 }, verdict{unsent: []item{{otlpLogs, 0, 0}}}},
	} {
		t.Run(name, func(t *testing.T) {
			found := all()
			c.change(found)
			got := check(accounts, found)
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("check = %v, want %v", got, c.want)
			}
		})
	}
	with, batches := phantom(accounts)
	if v := check(with, all()); batches != 2 || len(v.missing) != linesInBatch+spansInTrace {
		t.Errorf("of %d batches that were never sent %d items are missing, want all", batches, len(v.missing))
	}
}
