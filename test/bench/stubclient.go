package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// runningStub is the stub in a process of its own.
type runningStub struct {
	stubAddresses
	child *child
}

func startStub(ctx context.Context, dir string) (*runningStub, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	reader, writer := io.Pipe()
	s := &runningStub{}
	if s.child, err = spawn(ctx, dir, nil, writer, self, "stub"); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(reader).Decode(&s.stubAddresses); err != nil {
		s.child.stop()
		return nil, s.child.says(fmt.Errorf("start the stub: %w", err))
	}
	return s, nil
}

func (s *runningStub) state(ctx context.Context, query string) (stubState, error) {
	var state stubState
	err := ask(ctx, http.MethodGet, "http://"+s.HTTP+"/state"+query, &state)
	return state, err
}

func (s *runningStub) stall(ctx context.Context, how string) error {
	return ask(ctx, http.MethodPut, "http://"+s.HTTP+"/stall/"+how, nil)
}

const (
	// quiet is how long nothing may happen for everything to be delivered.
	quiet = 500 * time.Millisecond
	// drainLimit bounds waiting for that. Engines go on with work of their own.
	drainLimit = 30 * time.Second
)

// drained waits until the stub receives nothing more and pid is idle, and
// returns when the stub had received everything.
func (s *runningStub) drained(ctx context.Context, pid int) (time.Time, error) {
	last := time.Now()
	var requests int64
	deadline := time.Now().Add(drainLimit)
	for time.Now().Before(deadline) {
		before, err := cpuTime(pid)
		if err != nil {
			return last, err
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(quiet):
		}
		after, err := cpuTime(pid)
		if err != nil {
			return last, err
		}
		state, err := s.state(ctx, "")
		if err != nil {
			return last, err
		}
		if state.Requests == requests && after-before < quiet/20 {
			return last, nil
		}
		if state.Requests != requests {
			requests, last = state.Requests, time.Now()
		}
	}
	return last, nil
}
