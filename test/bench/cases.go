package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// batches are the numbers of items in a request, and for each how many requests
// are under way at a time: few for large ones, whose bytes are the work, many for
// small ones, which wait for the disk together.
var (
	logBatches   = map[int]int{10: 64, 100: 32, 1000: 8}
	traceBatches = map[int]int{10: 64, 512: 8}
	batchOrder   = []int{10, 100, 512, 1000}
)

func batchesOf(protocol string) map[int]int {
	if isLogs(protocol) {
		return logBatches
	}
	return traceBatches
}

// result is a row of the table.
type result struct {
	contender, protocol string
	batch               int
	closed              outcome       // of as fast as possible
	through             time.Duration // until the stub had everything
	cpu                 time.Duration
	memory              int64    // peak, in bytes
	half                *outcome // of half the rate, for Invoscope
}

// runCases runs every case that is asked for and prints the table.
func runCases(ctx context.Context, opts options, stdout io.Writer) error {
	var results []result
	for _, c := range contenders() {
		for _, protocol := range c.protocols {
			for _, batch := range batchOrder {
				connections, ok := batchesOf(protocol)[batch]
				name := fmt.Sprintf("%s/%s/%d", c.name, protocol, batch)
				if !ok || !opts.only.MatchString(name) {
					continue
				}
				fmt.Fprintln(opts.progress, time.Now().Format(time.TimeOnly), name)
				r, err := runCase(ctx, opts, c, load{Protocol: protocol, Batch: batch, Connections: connections})
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				results = append(results, r)
				fmt.Fprintln(opts.progress, "  ", r)
			}
		}
	}
	return printResults(stdout, results)
}

// runCase measures one contender with one load.
func runCase(ctx context.Context, opts options, c contender, l load) (result, error) {
	r := result{contender: c.name, protocol: l.Protocol, batch: l.Batch}
	dir, err := os.MkdirTemp(opts.dir, "case-")
	if err != nil {
		return r, fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	stub, err := startStub(ctx, dir)
	if err != nil {
		return r, err
	}
	defer stub.child.stop()
	t, err := c.start(ctx, opts, dir, stub, l.Protocol)
	if err != nil {
		return r, err
	}
	defer t.stop()

	l.Endpoint, l.Recordings = t.endpoint, filepath.Join(opts.root, "testdata", "restate")
	l.Room, l.Duration = c.room, opts.duration
	if err := measure(ctx, opts, &running{t, stub, dir}, l, &r); err != nil {
		return r, err
	}
	if state, err := stub.state(ctx, ""); err != nil || c.forwards && state.Requests == 0 {
		return r, errors.Join(err, errors.New("the stub received nothing"))
	}
	if c.name == "invoscope" {
		l.Rate = float64(r.closed.Items) / float64(l.Batch) / r.through.Seconds() / 2
		l.Connections = 256
		generator, err := startLoad(ctx, dir, l)
		if err != nil {
			return r, err
		}
		half, err := generator.run()
		if err != nil {
			return r, err
		}
		r.half = &half
	}
	return r, nil
}

// measure loads a target as much as it takes and fills in what that cost.
func measure(ctx context.Context, opts options, c *running, l load, r *result) error {
	generator, err := startLoad(ctx, c.dir, l)
	if err != nil {
		return err
	}
	before, err := cpuTime(c.pid)
	if err != nil {
		return err
	}
	start := time.Now()
	profiled := profile(ctx, opts, c.target, fmt.Sprintf("%s-%d", l.Protocol, l.Batch))
	if r.closed, err = generator.run(); err != nil {
		return err
	}
	if err := <-profiled; err != nil {
		return err
	}
	end, err := c.stub.drained(ctx, c.pid)
	if err != nil {
		return err
	}
	r.through = max(r.closed.Elapsed, end.Sub(start))
	after, err := cpuTime(c.pid)
	if err != nil {
		return err
	}
	r.cpu = after - before
	r.memory, err = peakMemory(c.pid)
	return err
}

// running is a target with what is around it.
type running struct {
	*target
	stub *runningStub
	dir  string
}

// generator is a load generator in a process of its own, ready to start.
type generator struct {
	child   *child
	stdin   *os.File
	decoder *json.Decoder
}

func startLoad(ctx context.Context, dir string, l load) (*generator, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	in, toChild, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer in.Close()
	out, fromChild := io.Pipe()
	g := &generator{stdin: toChild, decoder: json.NewDecoder(out)}
	if g.child, err = spawn(ctx, dir, in, fromChild, self, "load"); err != nil {
		return nil, err
	}
	if err := json.NewEncoder(toChild).Encode(l); err != nil {
		return nil, fmt.Errorf("tell the load: %w", err)
	}
	var ready string
	if err := g.decoder.Decode(&ready); err != nil {
		return nil, g.child.says(fmt.Errorf("prepare the load: %w", err))
	}
	return g, nil
}

// run starts sending and returns what the generator saw in the end.
func (g *generator) run() (outcome, error) {
	var out outcome
	defer g.child.stop()
	defer g.stdin.Close()
	if err := json.NewEncoder(g.stdin).Encode("go"); err != nil {
		return out, fmt.Errorf("start the load: %w", err)
	}
	if err := g.decoder.Decode(&out); err != nil {
		return out, g.child.says(fmt.Errorf("run the load: %w", err))
	}
	return out, nil
}
