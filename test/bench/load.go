package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
)

// load says what a load generator sends.
type load struct {
	Endpoint    endpoint
	Protocol    string
	Recordings  string
	Batch       int // items per request
	Room        int // bytes of distinct requests to prepare
	Connections int // requests under way at a time
	Duration    time.Duration
	Rate        float64 // requests per second; 0: as fast as they are acknowledged
}

// outcome is what a load generator saw.
type outcome struct {
	Requests, Refused, Failed int
	Error                     string // of one that failed
	Items                     int    // acknowledged
	Bytes                     int    // acknowledged
	Elapsed                   time.Duration
	P50, P99, Max             time.Duration // of acknowledgement
}

// runLoad is the load generator's process: it reads a load, prepares it, writes
// a line, waits for one, sends, and writes the outcome.
func runLoad(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var l load
	decoder := json.NewDecoder(stdin)
	if err := decoder.Decode(&l); err != nil {
		return fmt.Errorf("read the load: %w", err)
	}
	requests, err := encodeRequests(l.Recordings, l.Protocol, l.Batch, l.Room)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(stdout)
	if err := encoder.Encode("ready"); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	var start string
	if err := decoder.Decode(&start); err != nil {
		return fmt.Errorf("wait for the start: %w", err)
	}
	out, err := l.send(ctx, requests)
	if err != nil {
		return err
	}
	return encoder.Encode(out)
}

// refusedPause is how long a worker waits after it was told to come again.
const refusedPause = 20 * time.Millisecond

// send runs the load and adds up what its workers saw.
func (l load) send(ctx context.Context, requests []request) (outcome, error) {
	senders, err := l.senders()
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.Duration)
	defer cancel()
	workers := make([]*worker, len(senders))
	var next atomic.Int64
	var due chan time.Time
	var group sync.WaitGroup
	if l.Rate > 0 {
		due = make(chan time.Time, 1<<20)
		group.Go(func() { pace(ctx, l.Rate, due) })
	}
	start := time.Now()
	for i, s := range senders {
		workers[i] = &worker{sender: s, requests: requests, next: &next, due: due}
		group.Go(func() { workers[i].run(ctx) })
	}
	group.Wait()
	for _, s := range senders {
		s.close()
	}
	return total(workers, l.Batch, time.Since(start)), nil
}

// connectionsOfGRPC is how many connections the senders of gRPC share.
const connectionsOfGRPC = 4

func (l load) senders() ([]sender, error) {
	senders := make([]sender, l.Connections)
	if !isGRPC(l.Protocol) {
		for i := range senders {
			senders[i] = newHTTPSender(l.Endpoint)
		}
		return senders, nil
	}
	shared := make([]*grpcSender, connectionsOfGRPC)
	for i := range shared {
		conn, err := dialGRPC(l.Endpoint)
		if err != nil {
			return nil, err
		}
		shared[i] = &grpcSender{conn: conn, method: l.Endpoint.Path, header: metadata.New(l.Endpoint.Header)}
	}
	for i := range senders {
		senders[i] = shared[i%len(shared)]
	}
	return senders, nil
}

// pace puts rate times a second into due when a request falls due, whether or
// not earlier ones were acknowledged.
func pace(ctx context.Context, rate float64, due chan<- time.Time) {
	defer close(due)
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	start := time.Now()
	due <- start
	for sent := 1.0; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for ; sent < now.Sub(start).Seconds()*rate; sent++ {
				due <- time.Now()
			}
		}
	}
}

// worker sends one request after the other.
type worker struct {
	sender   sender
	requests []request
	next     *atomic.Int64    // number of the next request, of all workers
	due      <-chan time.Time // nil: send at once

	seen      outcome
	latencies []time.Duration
}

// run sends until ctx ends, and at least once if something is due: on a busy machine
// the time may be over before it begins.
func (w *worker) run(ctx context.Context) {
	for first := true; first || ctx.Err() == nil; first = false {
		start := time.Now()
		if w.due != nil {
			var ok bool
			if start, ok = <-w.due; !ok {
				return
			}
		}
		w.one(ctx, start)
	}
}

func (w *worker) one(ctx context.Context, start time.Time) {
	r := w.requests[int(w.next.Add(1)-1)%len(w.requests)]
	w.seen.Requests++
	// A request that is under way at the end is finished, and counts.
	got, err := w.sender.send(context.WithoutCancel(ctx), r.body)
	switch got {
	case acknowledged:
		w.latencies = append(w.latencies, time.Since(start))
		w.seen.Bytes += r.bytes
		return
	case refused:
		w.seen.Refused++
	default:
		w.seen.Failed++
		w.seen.Error = err.Error()
	}
	select {
	case <-ctx.Done():
	case <-time.After(refusedPause):
	}
}

func total(workers []*worker, batch int, elapsed time.Duration) outcome {
	sum := outcome{Elapsed: elapsed}
	var latencies []time.Duration
	for _, w := range workers {
		sum.Requests += w.seen.Requests
		sum.Refused += w.seen.Refused
		sum.Failed += w.seen.Failed
		sum.Bytes += w.seen.Bytes
		if w.seen.Error != "" {
			sum.Error = w.seen.Error
		}
		latencies = append(latencies, w.latencies...)
	}
	sum.Items = len(latencies) * batch
	sum.P50, sum.P99, sum.Max = quantile(latencies, 0.5), quantile(latencies, 0.99), quantile(latencies, 1)
	return sum
}

// quantile sorts durations and returns the q-quantile, zero when there are none.
func quantile(durations []time.Duration, q float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	slices.Sort(durations)
	return durations[int(q*float64(len(durations)-1))]
}
