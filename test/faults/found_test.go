//go:build integration

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/invoscope/invoscope/test/harness"
)

// tenant is one tenant's part of the run.
type tenant struct {
	harness.Client
	name     string
	accounts []account
}

// outcome is what was found in a tenant.
type outcome struct {
	found   map[item]int
	foreign []string // what isn't the tenant's, described
}

const (
	// pageLimit is the most entries that Loki returns at once.
	pageLimit = 5000
	// window is how much time one query covers at first.
	window = 30 * time.Second
	// lookups is how many traces are asked for at once.
	lookups = 4
	// sample is about how many traces of a tenant and way are asked for by id.
	sample = 20
)

// look finds all that a tenant has of the time from start to end.
func (tn *tenant) look(ctx context.Context, run uint64, start, end time.Time) (outcome, error) {
	o := outcome{found: map[item]int{}}
	for from := start; from.Before(end); from = from.Add(window) {
		if err := tn.lookForLines(ctx, run, &o, from, from.Add(window)); err != nil {
			return o, fmt.Errorf("tenant %s: %w", tn.name, err)
		}
	}
	if err := tn.lookForTraces(ctx, run, &o, start, end); err != nil {
		return o, fmt.Errorf("tenant %s: %w", tn.name, err)
	}
	return o, tn.lookForForeignSpans(ctx, &o, start, end)
}

// stream is a part of Loki's answer to a range query.
type stream struct {
	Labels map[string]string `json:"stream"`
	Values [][2]string       `json:"values"` // nanoseconds and line
}

// lookForLines asks for all streams of the tenant from one time up to and without
// another. When there are too many lines for one answer it asks for the halves.
func (tn *tenant) lookForLines(ctx context.Context, run uint64, o *outcome, from, to time.Time) error {
	body, err := tn.Get(ctx, "/loki/api/v1/query_range?"+url.Values{
		"query": {`{tenant=~".+"}`}, "direction": {"forward"}, "limit": {strconv.Itoa(pageLimit)},
		"start": {strconv.FormatInt(from.UnixNano(), 10)}, "end": {strconv.FormatInt(to.UnixNano(), 10)},
	}.Encode(), "application/json")
	if err != nil {
		return err
	}
	var answer struct {
		Data struct {
			Result []stream `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("decode the answer to a range query: %w", err)
	}
	lines := 0
	for _, s := range answer.Data.Result {
		lines += len(s.Values)
	}
	if lines >= pageLimit {
		middle := from.Add(to.Sub(from) / 2)
		if err := tn.lookForLines(ctx, run, o, from, middle); err != nil {
			return err
		}
		return tn.lookForLines(ctx, run, o, middle, to)
	}
	for _, s := range answer.Data.Result {
		for _, value := range s.Values {
			tn.take(run, o, s.Labels["tenant"], value[1])
		}
	}
	return nil
}

// take counts a line that was found in the tenant.
func (tn *tenant) take(run uint64, o *outcome, label, line string) {
	of, sender, it, err := parseLine(line)
	if err != nil || of != run || sender != tn.name || label != tn.name {
		o.foreign = append(o.foreign, fmt.Sprintf("in %s, labelled %s: %.100s", tn.name, label, line))
		return
	}
	o.found[it]++
}

// lookForTraces searches for all spans, and asks by its id for each trace that the
// search doesn't have whole and for some of the others: an id costs Tempo as much
// as a search.
func (tn *tenant) lookForTraces(ctx context.Context, run uint64, o *outcome, start, end time.Time) error {
	for from := start; from.Before(end); from = from.Add(window) {
		if err := tn.searchSpans(ctx, run, o, from, from.Add(window)); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(lookups)
	var mu sync.Mutex // guards o
	for _, a := range tn.accounts {
		if a.way.items() != spansInTrace {
			continue
		}
		every := 1 + a.sent/sample
		for batch := range a.sent {
			mu.Lock()
			known := batch%every != 0 && (o.whole(a.way, batch) || !a.acknowledged[batch])
			mu.Unlock()
			if known {
				continue
			}
			group.Go(func() error {
				spans, err := tn.Trace(ctx, traceID(run, a.way, batch).String())
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				for i := range spansInTrace {
					delete(o.found, item{a.way, batch, i}) // now each copy counts
				}
				for _, span := range spans {
					tn.takeSpan(run, o, seen{span.TraceID, span.SpanID, span.Attributes[markerKey], span.Resource["tenant"]})
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// whole reports whether every item of a batch was found.
func (o *outcome) whole(w way, batch int) bool {
	for i := range w.items() {
		if o.found[item{w, batch, i}] == 0 {
			return false
		}
	}
	return true
}

// searchSpans takes what a search finds of a time. It may find a span again: each
// counts once.
func (tn *tenant) searchSpans(ctx context.Context, run uint64, o *outcome, from, to time.Time) error {
	body, err := tn.Get(ctx, "/api/search?"+url.Values{
		"q":     {`{ resource.service.name = "faults" } | select(span.` + markerKey + `, resource.tenant)`},
		"limit": {"100000"}, "spss": {"100"},
		"start": {strconv.FormatInt(from.Unix(), 10)}, "end": {strconv.FormatInt(to.Unix()+1, 10)},
	}.Encode(), "application/json")
	if err != nil {
		return err
	}
	type span struct {
		SpanID     string `json:"spanID"`
		Attributes []struct {
			Key   string `json:"key"`
			Value struct {
				StringValue string `json:"stringValue"`
			} `json:"value"`
		} `json:"attributes"`
	}
	var answer struct {
		Traces []struct {
			TraceID  string `json:"traceID"`
			SpanSets []struct {
				Spans []span `json:"spans"`
			} `json:"spanSets"`
		} `json:"traces"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("decode the answer to a search: %w", err)
	}
	for _, trace := range answer.Traces {
		for _, set := range trace.SpanSets {
			for _, span := range set.Spans {
				attributes := map[string]string{}
				for _, a := range span.Attributes {
					attributes[a.Key] = a.Value.StringValue
				}
				if it, ok := tn.takeSpan(run, o, seen{trace.TraceID, span.SpanID, attributes[markerKey], attributes["tenant"]}); ok {
					o.found[it] = 1
				}
			}
		}
	}
	return nil
}

// seen is what is looked at of a span that was found.
type seen struct {
	trace, span string // ids
	sender, tag any    // what the sender said of itself, and the daemon of it
}

// takeSpan counts a span that was found in the tenant.
func (tn *tenant) takeSpan(run uint64, o *outcome, s seen) (it item, ok bool) {
	var number int
	it, ok = parseTraceID(run, s.trace)
	if !ok || s.sender != tn.name || s.tag != tn.name || !parseSpanID(s.span, &number, &it) {
		o.foreign = append(o.foreign, fmt.Sprintf("in %s, tagged %v: span %s of trace %s, sent by %v", tn.name, s.tag, s.span, s.trace, s.sender))
		return it, false
	}
	o.found[it]++
	return it, true
}

// parseTraceID reads what traceID writes; Tempo may leave leading zeros out.
func parseTraceID(run uint64, id string) (it item, ok bool) {
	for _, w := range traceWays {
		var batch uint32
		prefix := traceID(run, w, 0).String()[:24]
		rest, found := strings.CutPrefix(strings.Repeat("0", max(0, 32-len(id)))+id, prefix)
		if _, err := fmt.Sscanf(rest, "%08x", &batch); found && err == nil {
			return item{way: w, batch: int(batch)}, true
		}
	}
	return item{}, false
}

// parseSpanID reads what spanID writes, and sees that it is of the item's batch.
func parseSpanID(id string, tenant *int, it *item) bool {
	var batch int
	_, err := fmt.Sscanf(id, "01%02x%02x00%08x", tenant, &it.index, &batch)
	return err == nil && batch == it.batch
}

// lookForForeignSpans searches the tenant for spans that say they are another's.
func (tn *tenant) lookForForeignSpans(ctx context.Context, o *outcome, start, end time.Time) error {
	for _, query := range []string{
		fmt.Sprintf(`{ span.%q != "%s" }`, markerKey, tn.name),
		fmt.Sprintf(`{ resource.tenant != "%s" }`, tn.name),
	} {
		body, err := tn.Get(ctx, "/api/search?"+url.Values{
			"q": {query}, "limit": {"10"},
			"start": {strconv.FormatInt(start.Unix(), 10)}, "end": {strconv.FormatInt(end.Unix()+1, 10)},
		}.Encode(), "application/json")
		if err != nil {
			return err
		}
		var answer struct {
			Traces []struct{ TraceID string } `json:"traces"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return fmt.Errorf("decode the answer to a search: %w", err)
		}
		for _, trace := range answer.Traces {
			o.foreign = append(o.foreign, fmt.Sprintf("in %s: %s finds trace %s", tn.name, query, trace.TraceID))
		}
	}
	return nil
}

// metrics returns the samples of a daemon's /metrics by their name and labels, as
// they are written.
func metrics(ctx context.Context, admin string) (map[string]float64, error) {
	body, err := get(ctx, admin+"/metrics")
	if err != nil {
		return nil, err
	}
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		name, value, ok := cutLast(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			samples[name] = n
		}
	}
	return samples, nil
}

// get asks the daemon's admin address. Any status but 200 is an error.
func get(ctx context.Context, url string) (body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, content)
	}
	return string(content), err
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// queueIsEmpty is an error for as long as anything acknowledged waits.
func queueIsEmpty(ctx context.Context, admin string) error {
	samples, err := metrics(ctx, admin)
	if err != nil {
		return err
	}
	queues := 0
	for name, n := range samples {
		if strings.HasPrefix(name, "invoscope_queue_pending_requests") {
			queues++
			if n != 0 {
				return fmt.Errorf("%s is %v", name, n)
			}
		}
	}
	if queues == 0 {
		return fmt.Errorf("no queue is in the metrics")
	}
	return nil
}
