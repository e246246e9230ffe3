package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"

	"github.com/invoscope/invoscope/relay/engine"
)

// logSuite writes and finds log lines.
type logSuite struct{}

func (logSuite) encode(t *testing.T, names ...string) []byte {
	return LogRequest(t, time.Now(), names...)
}

// LogRequest encodes one push request with a line for each name, at the given
// time and nanoseconds after.
func LogRequest(t *testing.T, at time.Time, names ...string) []byte {
	t.Helper()
	stream := push.Stream{Labels: `{app="enginetest"}`}
	for i, name := range names {
		stream.Entries = append(stream.Entries, push.Entry{
			Timestamp:          at.Add(time.Duration(i)),
			Line:               "line of " + name,
			StructuredMetadata: push.LabelsAdapter{{Name: "record", Value: name}},
		})
	}
	raw, err := (&push.PushRequest{Streams: []push.Stream{stream}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, raw)
}

func (logSuite) find(ctx context.Context, e engine.Engine, tenant, name string) (bool, error) {
	return FindLog(ctx, e, tenant, name)
}

// FindLog asks whether the tenant has the line of that name.
func FindLog(ctx context.Context, e engine.Engine, tenant, name string) (bool, error) {
	query := url.Values{
		"query": {fmt.Sprintf("{app=\"enginetest\"} | record=`%s`", name)},
		"since": {"1h"},
	}
	code, body, err := ask(ctx, e, tenant, "/loki/api/v1/query_range", query)
	if err != nil {
		return false, err
	}
	if code != http.StatusOK {
		return false, fmt.Errorf("query: %d: %s", code, body)
	}
	return bytes.Contains(body, []byte("line of "+name)), nil
}

func (logSuite) refused(t *testing.T) map[string][]byte {
	return map[string][]byte{
		"garbage": []byte("this is neither snappy nor protobuf"),
		"too old": LogRequest(t, time.Now().Add(-30*24*time.Hour), "old"),
	}
}

// repush is how often a line is pushed until a tail has it.
const repush = 500 * time.Millisecond

// streams follows a live tail, which is a WebSocket, and sees a line that was
// pushed after the answer had begun.
func (logSuite) streams(t *testing.T, e engine.Engine) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tenant, name := unique("tenant"), unique("record")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://engine/loki/api/v1/tail?"+url.Values{"query": {`{app="enginetest"}`}}.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"X-Scope-OrgID": tenant, "Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		req.Header.Set(key, value)
	}
	resp, err := e.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stop := context.AfterFunc(ctx, func() { resp.Body.Close() })
	defer stop()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %s, want 101", resp.Status)
	}
	// The tail is with all of Loki's parts only some time after the answer began.
	var pushes sync.WaitGroup
	defer pushes.Wait()
	pushing, enough := context.WithCancel(ctx)
	defer enough()
	pushes.Go(func() {
		tick := time.NewTicker(repush)
		defer tick.Stop()
		for pushing.Err() == nil {
			if err := e.Push(pushing, tenant, LogRequest(t, time.Now(), name)); err != nil && pushing.Err() == nil {
				t.Errorf("push: %v", err)
				return
			}
			select {
			case <-tick.C:
			case <-pushing.Done():
			}
		}
	})
	var seen bytes.Buffer
	buf := make([]byte, 4096)
	for !bytes.Contains(seen.Bytes(), []byte("line of "+name)) {
		n, err := resp.Body.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			t.Fatalf("the line did not come: %v (got %q)", err, seen.Bytes())
		}
	}
}
