package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// lookupHours is one more than Grafana's "last 24 hours", which has half an hour
	// less by the time that we ask.
	lookupHours = 25
	// lookupSpread is how much of each hour has spans, so that the blocks' times
	// don't overlap.
	lookupSpread = 50 * time.Minute
	lookupSpans  = 1_050_000
	// lookupBlocks is how many blocks a search of 24 hours has to look at.
	lookupBlocks = 24
	// lookupAgo is when the last hour ends. Its spans are older than Tempo leaves to
	// its ingester's copies of blocks, 15 minutes (query_backend_after).
	lookupAgo = 10 * time.Minute
	// lookupSenders is how many requests of spans are under way at a time.
	lookupSenders = 4
	// daemonTenant is whom the daemon's own token is for.
	daemonTenant = "default"
)

// runLookup measures the published query for an invocation, through the relay
// beside Tempo itself, over a day of spans in a block for each hour.
func runLookup(ctx context.Context, opts options, stdout io.Writer) error {
	if err := printDisk(stdout, opts.dir); err != nil {
		return err
	}
	replay, err := newReplay(filepath.Join(opts.root, "testdata", "restate"))
	if err != nil {
		return err
	}
	l := &lookup{opts: opts, replay: replay, dir: opts.dir}
	if err := l.fill(ctx); err != nil {
		return err
	}
	blocks, err := l.settle(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d spans of %d traces in %d blocks of Tempo\n", l.spans, l.traces, blocks)
	return l.measure(ctx, stdout)
}

// lookup is a daemon with a day of spans.
type lookup struct {
	opts   options
	replay *replay
	dir    string

	daemon *child
	info   runInfo
	token  string
	tempo  *http.Client

	spans, traces int
	sample        []*invocation
}

func (l *lookup) data() string { return filepath.Join(l.dir, "data") }

func (l *lookup) start(ctx context.Context) (err error) {
	if l.daemon, l.info, err = startDaemon(ctx, l.opts, l.dir, nil); err != nil {
		return err
	}
	token, err := os.ReadFile(l.info.TokenFile)
	if err != nil {
		l.daemon.stop()
		return fmt.Errorf("read the token: %w", err)
	}
	l.token = strings.TrimSpace(string(token))
	socket := filepath.Join(l.data(), "tempo", "run", "http.sock:80")
	l.tempo = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	return nil
}

// fill sends an hour's spans and cuts a block, for each hour.
func (l *lookup) fill(ctx context.Context) error {
	if err := l.start(ctx); err != nil {
		return err
	}
	defer l.daemon.stop()
	defer l.tempo.CloseIdleConnections()
	end := time.Now().Add(-lookupAgo)
	for h := range lookupHours {
		from := end.Add(time.Duration(h-lookupHours) * time.Hour)
		if err := l.fillHour(ctx, from); err != nil {
			return fmt.Errorf("fill the hour from %v: %w", from, err)
		}
		fmt.Fprintln(l.opts.progress, time.Now().Format(time.TimeOnly), l.spans, "spans sent, up to", from.Add(lookupSpread).Format(time.DateTime))
	}
	return l.stored(ctx)
}

func (l *lookup) fillHour(ctx context.Context, from time.Time) error {
	batches := make(chan batch, lookupSenders)
	errs := make([]error, lookupSenders+1)
	var group sync.WaitGroup
	for i := range lookupSenders {
		group.Go(func() { errs[i] = l.send(ctx, batches) })
	}
	var spans int
	for spans < lookupSpans/lookupHours && errs[lookupSenders] == nil {
		b, err := l.replay.batch(from, lookupSpread)
		errs[lookupSenders] = err
		spans += b.spans
		l.count(b)
		batches <- b
	}
	close(batches)
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// The queue delivers a tenant's requests in order: once the last has arrived, all have.
	last, err := l.replay.batch(from, lookupSpread)
	if err != nil {
		return err
	}
	l.count(last)
	only := make(chan batch, 1)
	only <- last
	close(only)
	if err := l.send(ctx, only); err != nil {
		return err
	}
	return l.cut(ctx, last)
}

// count keeps some of the invocations to ask for.
func (l *lookup) count(b batch) {
	l.spans += b.spans
	l.traces += b.traces
	if i := b.invocations[rand.IntN(len(b.invocations))]; i.ran {
		l.sample = append(l.sample, i)
	}
}

func (l *lookup) send(ctx context.Context, batches <-chan batch) (failure error) {
	s := newHTTPSender(endpoint{
		Address: strings.TrimPrefix(l.info.OTLPHTTP, "http://"), Path: "/v1/traces",
		Header: map[string]string{"Authorization": "Bearer " + l.token},
	})
	defer s.close()
	for b := range batches { // to its end, that its sender doesn't wait for ever
		for failure == nil {
			got, err := s.send(ctx, b.body)
			if got == acknowledged {
				break
			}
			if failure = err; got == refused {
				select {
				case <-ctx.Done():
					failure = ctx.Err()
				case <-time.After(refusedPause):
				}
			}
		}
	}
	return failure
}

// cut makes Tempo write what it has into a block once it has the batch.
func (l *lookup) cut(ctx context.Context, last batch) error {
	for _, i := range last.invocations {
		for id := range i.traces {
			err := poll(ctx, time.Minute, func() error {
				_, _, err := l.ask(ctx, l.tempo, "http://tempo/api/traces/"+id, http.StatusOK)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	_, _, err := l.ask(ctx, l.tempo, "http://tempo/flush?tenant="+daemonTenant, http.StatusNoContent)
	return err
}

// stored waits until all traces are in blocks of the store.
func (l *lookup) stored(ctx context.Context) error {
	return poll(ctx, 3*time.Minute, func() error {
		blocks, traces, err := l.blocks()
		if err == nil && (traces < l.traces || blocks < lookupBlocks) {
			err = fmt.Errorf("%d of %d traces are in %d blocks", traces, l.traces, blocks)
		}
		return err
	})
}

// blocks counts the blocks in Tempo's store that searches read, and their traces.
func (l *lookup) blocks() (blocks, traces int, err error) {
	files, err := filepath.Glob(filepath.Join(l.data(), "tempo", "blocks", daemonTenant, "*", "meta.json"))
	if err != nil {
		return 0, 0, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was compacted
		}
		if err != nil {
			return 0, 0, fmt.Errorf("read a block's meta: %w", err)
		}
		var meta struct {
			Traces      int `json:"totalObjects"`
			Replication int `json:"replicationFactor"`
		}
		if err := json.Unmarshal(content, &meta); err != nil {
			return 0, 0, fmt.Errorf("read a block's meta: %w", err)
		}
		// The metrics generator's blocks say 1; they are for metrics alone.
		if meta.Replication != 1 {
			blocks, traces = blocks+1, traces+meta.Traces
		}
	}
	return blocks, traces, nil
}

// settle starts the daemon again as it will be in a quarter of an hour: blocks are
// in the store, and the ingester's copies of them are gone.
func (l *lookup) settle(ctx context.Context) (blocks int, err error) {
	if err := os.RemoveAll(filepath.Join(l.data(), "tempo", "wal")); err != nil {
		return 0, fmt.Errorf("remove the ingester's copies: %w", err)
	}
	if blocks, _, err = l.blocks(); err != nil {
		return 0, err
	}
	return blocks, l.start(ctx)
}

// ask returns the answer to a GET, and what it says of a lookup.
func (l *lookup) ask(ctx context.Context, client *http.Client, url string, want int, headers ...string) (body []byte, looked string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", fmt.Errorf("ask %s: %w", url, err)
	}
	if client == l.tempo {
		req.Header.Set("X-Scope-OrgID", daemonTenant)
	} else {
		req.Header.Set("Authorization", "Bearer "+l.token)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err // names method and URL
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = errors.New(resp.Status + ": " + string(body[:min(len(body), 200)]))
	}
	if err != nil {
		return nil, "", fmt.Errorf("ask %s: %w", url, err)
	}
	return body, resp.Header.Get("X-Invoscope-Lookup"), nil
}
