package rebuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/relay/engine"
)

const (
	// query finds Restate's spans, of 1.6 and 1.7, and those of users that carry an
	// invocation's id.
	query = `{ .restate.invocation.id != nil }`
	// window is the time that is searched at once; windows with too many traces are
	// halved, down to shortest.
	window   = time.Hour
	shortest = time.Second
	// searchLimit is how many traces a search may find before its window is halved,
	// and mostLimit what Tempo is told to allow (search.max_result_limit).
	searchLimit = 5000
	mostLimit   = 262144
	// parallel is how many traces are read at the same time, applyAfter how many
	// are written at once.
	parallel   = 4
	applyAfter = 200
	// maxTrace bounds a trace, in bytes.
	maxTrace = 256 << 20
)

// Options are what a rebuild works with.
type Options struct {
	Tempo http.RoundTripper
	Index *index.Index
	Log   *slog.Logger
	Now   func() time.Time
}

// Progress is how far a rebuild is: all traces that ended after Back are done.
type Progress struct {
	Back        time.Time `json:"back"`
	Traces      int       `json:"traces"`
	Unreadable  int       `json:"unreadable_traces"`
	Invocations int       `json:"invocations"` // written, some more than once
	Done        bool      `json:"done"`
}

// Range is what is rebuilt: a tenant's invocations with spans between two times.
type Range struct {
	Tenant   string
	From, To time.Time
}

// run is one rebuild.
type run struct {
	Options
	tenant   string
	latest   int64           // of what is learnt, in nanoseconds since 1970
	seen     map[string]bool // ids of the traces that were read
	progress Progress
}

// Rebuild reads the range's traces, the latest first, and merges them into the
// index. It calls report after each hour, and at the end.
func Rebuild(ctx context.Context, o Options, all Range, report func(Progress) error) error {
	r := run{Options: o, tenant: all.Tenant, latest: all.To.Add(engine.MaxLead).UnixNano(), seen: map[string]bool{}}
	for end := all.To; end.After(all.From); end = end.Add(-window) {
		begin := end.Add(-window)
		if begin.Before(all.From) {
			begin = all.From
		}
		if err := r.window(ctx, begin, end); err != nil {
			return err
		}
		r.progress.Back = begin
		r.progress.Done = !begin.After(all.From)
		if r.progress.Done {
			if err := o.Index.Sync(ctx); err != nil {
				return fmt.Errorf("sync the invocation index: %w", err)
			}
		}
		if err := report(r.progress); err != nil {
			return err
		}
	}
	return nil
}

// window reads the traces of a time range.
func (r *run) window(ctx context.Context, from, to time.Time) error {
	limit := searchLimit
	if to.Sub(from) <= shortest {
		limit = mostLimit
	}
	found, err := r.search(ctx, from, to, limit)
	if err != nil {
		return err
	}
	if len(found) >= limit && limit < mostLimit {
		middle := from.Add(to.Sub(from) / 2)
		return errors.Join(r.window(ctx, middle, to), r.window(ctx, from, middle))
	}
	var ids []string
	for _, id := range found {
		if !r.seen[id] {
			r.seen[id] = true
			ids = append(ids, id)
		}
	}
	for len(ids) > 0 {
		n := min(len(ids), applyAfter)
		if err := r.learn(ctx, ids[:n]); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// search returns the ids of the traces with invocations in a time range.
func (r *run) search(ctx context.Context, from, to time.Time, limit int) ([]string, error) {
	params := url.Values{
		"q":     {query},
		"start": {strconv.FormatInt(from.Unix(), 10)},
		"end":   {strconv.FormatInt(to.Unix()+1, 10)}, // whole seconds, and the end isn't part of it
		"limit": {strconv.Itoa(limit)},
		"spss":  {"1"},
	}
	resp, err := engine.Get(ctx, r.Tempo, r.tenant, "/api/search?"+params.Encode(), http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, fmt.Errorf("search Tempo: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("search Tempo: %w", answer(resp))
	}
	var found struct {
		Traces []struct {
			ID string `json:"traceID"`
		} `json:"traces"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		return nil, fmt.Errorf("search Tempo: %w", err)
	}
	ids := make([]string, len(found.Traces))
	for i, t := range found.Traces {
		ids[i] = t.ID
	}
	return ids, nil
}

// learn reads traces and merges them into the index. Each is let go of once it is read:
// one may take as much memory as all others.
func (r *run) learn(ctx context.Context, ids []string) error {
	var mu sync.Mutex // of the batch and the progress
	batch := index.Batch{Latest: r.latest}
	group, ctx2 := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, id := range ids {
		group.Go(func() error {
			body, err := r.trace(ctx2, id)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			r.progress.Traces++
			if err := batch.Spans(body); err != nil {
				r.progress.Unreadable++
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	r.progress.Invocations += batch.Len()
	return r.Index.Apply(ctx, r.tenant, &batch)
}

// trace returns a trace as Tempo has it, a Trace of OTLP, which has the form of an
// ExportTraceServiceRequest. One that is gone meanwhile is empty. No time
// range is given: spans of a long trace may be anywhere.
func (r *run) trace(ctx context.Context, id string) ([]byte, error) {
	resp, err := engine.Get(ctx, r.Tempo, r.tenant, "/api/traces/"+id, http.Header{"Accept": {"application/protobuf"}})
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", id, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, nil
	default:
		return nil, fmt.Errorf("read trace %s: %w", id, answer(resp))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTrace))
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", id, err)
	}
	return body, nil
}

// answer is an engine's error.
func answer(resp *http.Response) error {
	const enough = 512 // bytes of an error's text
	text, _ := io.ReadAll(io.LimitReader(resp.Body, enough))
	return fmt.Errorf("%s: %s", resp.Status, text)
}
