package enginetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/relay/engine"
)

// Signal is what an engine stores.
type Signal int

// Logs is what Loki stores, Traces what Tempo does.
const (
	Logs Signal = iota
	Traces
)

// Subject is a running engine to be examined.
type Subject struct {
	Engine engine.Engine
	Signal Signal
	// Stop ends the engine and returns when nobody answers any more. It is called
	// once, after all else.
	Stop func()
}

// patience bounds every wait of the suite.
const patience = 30 * time.Second

// signalSuite is what differs between the signals: how a record is written and found.
type signalSuite interface {
	// encode makes a push request of records that can be told apart by name.
	encode(t *testing.T, names ...string) []byte
	// find asks once whether the tenant has the record.
	find(ctx context.Context, e engine.Engine, tenant, name string) (bool, error)
	// refused are requests that can never succeed.
	refused(t *testing.T) map[string][]byte
	// streams checks a long-lived answer of the engine's API.
	streams(t *testing.T, e engine.Engine)
}

// Run examines the engine that start makes. The engine may hold data already;
// the suite uses tenants of its own.
func Run(t *testing.T, start func(t *testing.T) Subject) {
	s := start(t)
	var suite signalSuite = logSuite{}
	if s.Signal == Traces {
		suite = traceSuite{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := engine.WaitReady(ctx, s.Engine); err != nil {
		t.Fatal(err)
	}
	t.Run("finds what was pushed", func(t *testing.T) { testPush(t, s.Engine, suite) })
	t.Run("keeps tenants apart", func(t *testing.T) { testIsolation(t, s.Engine, suite) })
	t.Run("refuses bad bytes for good", func(t *testing.T) { testRefused(t, s.Engine, suite) })
	t.Run("takes concurrent pushes", func(t *testing.T) { testConcurrent(t, s.Engine, suite) })
	t.Run("leaves the request alone", func(t *testing.T) { testUnmodified(t, s.Engine) })
	t.Run("gives up with the context", func(t *testing.T) { testCancel(t, s.Engine, suite) })
	t.Run("streams", func(t *testing.T) { suite.streams(t, s.Engine) })
	t.Run("is unavailable after the stop", func(t *testing.T) { testStopped(t, s, suite) })
}

func testPush(t *testing.T, e engine.Engine, suite signalSuite) {
	tenant, name := unique("tenant"), unique("record")
	mustPush(t, e, tenant, suite.encode(t, name))
	eventually(t, e, suite, tenant, name)
}

func testIsolation(t *testing.T, e engine.Engine, suite signalSuite) {
	ours, theirs, name, other := unique("tenant"), unique("tenant"), unique("record"), unique("record")
	mustPush(t, e, ours, suite.encode(t, name))
	mustPush(t, e, theirs, suite.encode(t, other))
	eventually(t, e, suite, ours, name)
	eventually(t, e, suite, theirs, other)
	for tenant, name := range map[string]string{ours: other, theirs: name} {
		found, err := suite.find(t.Context(), e, tenant, name)
		if err != nil {
			t.Fatal(err)
		}
		if found {
			t.Errorf("tenant %s sees the other's record", tenant)
		}
	}
}

func testRefused(t *testing.T, e engine.Engine, suite signalSuite) {
	for name, body := range suite.refused(t) {
		t.Run(name, func(t *testing.T) {
			err := e.Push(t.Context(), unique("tenant"), body)
			var pushErr *engine.PushError
			if !errors.As(err, &pushErr) {
				t.Fatalf("got %v, want a PushError", err)
			}
			if !pushErr.Permanent {
				t.Errorf("not permanent: %v", err)
			}
			if len(err.Error()) > 2048 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

func testConcurrent(t *testing.T, e engine.Engine, suite signalSuite) {
	const writers, pushes = 16, 8
	tenant := unique("tenant")
	names := make([]string, writers*pushes)
	bodies := make([][]byte, len(names))
	for i := range names {
		names[i] = unique("record")
		bodies[i] = suite.encode(t, names[i])
	}
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w * pushes; i < (w+1)*pushes; i++ {
				errs[i] = e.Push(t.Context(), tenant, bodies[i])
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		eventually(t, e, suite, tenant, name)
	}
}

func testUnmodified(t *testing.T, e engine.Engine) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://elsewhere.invalid/ready?x=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Test", "1")
	address, header := *req.URL, req.Header.Clone()
	resp, err := e.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("got %s", resp.Status)
	}
	if diff := cmp.Diff(address, *req.URL, cmp.AllowUnexported(url.Userinfo{})); diff != "" {
		t.Errorf("the URL changed:\n%s", diff)
	}
	if diff := cmp.Diff(header, req.Header); diff != "" {
		t.Errorf("the header changed:\n%s", diff)
	}
	if req.Host != "elsewhere.invalid" {
		t.Errorf("the host changed to %q", req.Host)
	}
}

// testCancel gives up a request whose body never ends, once it is being sent,
// and a push. Like a server's request, its body ends with the context.
func testCancel(t *testing.T, e engine.Engine, suite signalSuite) {
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	context.AfterFunc(ctx, func() { read.CloseWithError(ctx.Err()) })
	go func() {
		_, _ = write.Write([]byte("x")) // returns when it is being sent
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/loki/api/v1/push", read)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Scope-OrgID", unique("tenant"))
	resp, err := e.RoundTrip(req)
	if err == nil {
		// An engine without that path answers at once.
		resp.Body.Close()
	} else if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Push(cancelled, unique("tenant"), suite.encode(t, unique("record"))); !errors.Is(err, context.Canceled) {
		t.Errorf("push: got %v, want context.Canceled", err)
	}
}

func testStopped(t *testing.T, s Subject, suite signalSuite) {
	tenant, body := unique("tenant"), suite.encode(t, unique("record"))
	mustPush(t, s.Engine, tenant, body)
	s.Stop()
	if err := s.Engine.Ready(t.Context()); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("Ready: got %v, want ErrUnavailable", err)
	}
	_, _, err := ask(t.Context(), s.Engine, tenant, "/ready", nil)
	if !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("RoundTrip: got %v, want ErrUnavailable", err)
	}
	err = s.Engine.Push(t.Context(), tenant, body)
	var pushErr *engine.PushError
	if !errors.As(err, &pushErr) || !errors.Is(err, engine.ErrUnavailable) {
		t.Fatalf("Push: got %v, want a PushError of ErrUnavailable", err)
	}
	if pushErr.Permanent {
		t.Errorf("Push: permanent: %v", err)
	}
}

func mustPush(t *testing.T, e engine.Engine, tenant string, body []byte) {
	t.Helper()
	if err := e.Push(t.Context(), tenant, body); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until the tenant has the record.
func eventually(t *testing.T, e engine.Engine, suite signalSuite, tenant, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := suite.find(ctx, e, tenant, name)
		if err == nil && found {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s of %s was not found: %v", name, tenant, err)
		case <-tick.C:
		}
	}
}

// ask sends a GET of a tenant and reads the answer.
func ask(ctx context.Context, e engine.Engine, tenant, path string, query url.Values) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path+"?"+query.Encode(), nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("X-Scope-OrgID", tenant)
	resp, err := e.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	return resp.StatusCode, bytes.TrimSpace(body), nil
}

// unique makes a name that nobody used before.
func unique(prefix string) string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + "-" + hex.EncodeToString(b[:])
}
