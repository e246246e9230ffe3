package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"google.golang.org/grpc"
)

// stubAddresses is what a stub writes when it listens.
type stubAddresses struct{ HTTP, GRPC string }

// stubState is what a stub has seen, as GET /state answers.
type stubState struct {
	Requests, Bytes int64
	// Latencies are those of the entries since the last time that they were asked
	// for, from the entry's time to its receipt, by tenant.
	Latencies map[string][]time.Duration
}

// How a stub treats the stalled tenant, as PUT /stall/{how} sets.
const (
	stallNot   = "no"
	stallHangs = "hangs"
	stall429   = "429"
	stall503   = "503"
)

// stalledTenant is the tenant that a stub stalls when it is told to.
const stalledTenant = "stalled"

// stub takes the pushes of a Loki, OTLP over HTTP and gRPC, says that it is
// stored and throws it away.
type stub struct {
	requests, bytes atomic.Int64
	stall           atomic.Pointer[string]

	mu        sync.Mutex
	latencies map[string][]time.Duration // nil: not kept
}

// runStub is the stub's process. It ends with ctx.
func runStub(ctx context.Context, stdout io.Writer) error {
	s := &stub{}
	no := stallNot
	s.stall.Store(&no)
	forHTTP, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	forGRPC, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	otlp := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.MaxRecvMsgSize(128<<20),
		grpc.UnknownServiceHandler(s.export))
	defer context.AfterFunc(ctx, func() {
		server.Close()
		otlp.Stop()
	})()
	failures := make(chan error, 2)
	go func() { failures <- server.Serve(forHTTP) }()
	go func() { failures <- otlp.Serve(forGRPC) }()
	if err := json.NewEncoder(stdout).Encode(stubAddresses{forHTTP.Addr().String(), forGRPC.Addr().String()}); err != nil {
		return fmt.Errorf("write the addresses: %w", err)
	}
	if err := <-failures; !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func (s *stub) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /state", s.serveState)
	mux.HandleFunc("PUT /stall/{how}", func(_ http.ResponseWriter, r *http.Request) {
		how := r.PathValue("how")
		s.stall.Store(&how)
	})
	mux.HandleFunc("POST /loki/api/v1/push", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Scope-OrgID") == stalledTenant && s.stalls(w, r) {
			return
		}
		s.take(w, r, http.StatusNoContent)
	})
	// An empty answer is OTLP's full success.
	export := func(w http.ResponseWriter, r *http.Request) { s.take(w, r, http.StatusOK) }
	mux.HandleFunc("POST /v1/logs", export)
	mux.HandleFunc("POST /v1/traces", export)
	return mux
}

// stalls answers a request of the stalled tenant, unless it is to be taken.
func (s *stub) stalls(w http.ResponseWriter, r *http.Request) bool {
	switch *s.stall.Load() {
	case stallHangs:
		_, _ = io.Copy(io.Discard, r.Body) // else the server doesn't see the client go
		<-r.Context().Done()
	case stall429:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case stall503:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		return false
	}
	return true
}

func (s *stub) take(w http.ResponseWriter, r *http.Request, status int) {
	s.mu.Lock()
	measured := s.latencies != nil
	s.mu.Unlock()
	var err error
	if measured {
		err = s.measure(r)
	} else {
		_, err = io.Copy(io.Discard, r.Body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.requests.Add(1)
	s.bytes.Add(r.ContentLength)
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(status)
}

// measure keeps how long a push's entries took from the time that they carry.
func (s *stub) measure(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	received := time.Now()
	if body, err = snappy.Decode(nil, body); err != nil {
		return err
	}
	var req push.PushRequest
	if err := req.Unmarshal(body); err != nil {
		return err
	}
	tenant := r.Header.Get("X-Scope-OrgID")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stream := range req.Streams {
		for _, entry := range stream.Entries {
			s.latencies[tenant] = append(s.latencies[tenant], received.Sub(entry.Timestamp))
		}
	}
	return nil
}

// serveState answers what was seen. With ?latencies it also answers those kept
// so far and goes on to keep them; without, none are kept.
func (s *stub) serveState(w http.ResponseWriter, r *http.Request) {
	state := stubState{Requests: s.requests.Load(), Bytes: s.bytes.Load()}
	s.mu.Lock()
	state.Latencies, s.latencies = s.latencies, nil
	if r.URL.Query().Has("latencies") {
		s.latencies = map[string][]time.Duration{}
	}
	s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(state) // the bench process has gone
}

// export answers any gRPC method with an empty message, OTLP's full success.
func (s *stub) export(_ any, stream grpc.ServerStream) error {
	var size int
	if err := stream.RecvMsg(&size); err != nil {
		return err
	}
	s.requests.Add(1)
	s.bytes.Add(int64(size))
	return stream.SendMsg([]byte{})
}
