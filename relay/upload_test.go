package relay

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/invoscope/invoscope/tenancy"
)

// tellsOfHolds says when somebody is held.
type tellsOfHolds struct {
	*tenancy.Authenticator
	held chan struct{}
}

func (a tellsOfHolds) Hold(ctx context.Context, id tenancy.Identity) (context.Context, context.CancelFunc) {
	defer func() { a.held <- struct{}{} }()
	return a.Authenticator.Hold(ctx, id)
}

// Whoever has begun to send when the token is taken back doesn't get to send the rest.
func TestUploadsEndWithTheirToken(t *testing.T) {
	message, err := logsRequest("a line").MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		grpcPort   bool
		http1      bool
		path, kind string
		body       []byte
		want       string
	}{
		"HTTP/1.1": {false, true, "/v1/logs", "application/x-protobuf", message, "401"},
		"HTTP/2":   {false, false, "/v1/logs", "application/x-protobuf", message, "401"},
		"push":     {false, true, "/loki/api/v1/push", "application/json", []byte(`{"streams":[{"stream":{"a":"b"},"values":[["1","x"]]}]}`), "401"},
		"gRPC":     {false, false, exportLogs, "application/grpc", frame(message), "grpc 16"},
		"its port": {true, false, exportLogs, "application/grpc", frame(message), "grpc 1"}, // cancelled: to be tried again
	} {
		for _, taken := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				f, _, m := newTenants(t)
				authenticator := f.relay.opts.Authenticator.(*tenancy.Authenticator)
				held := make(chan struct{}, 1)
				f.relay.opts.Authenticator = tellsOfHolds{authenticator, held}
				addr := f.publicPort(t)
				if c.grpcPort {
					addr = f.grpcPort(t)
				}
				body, rest := io.Pipe()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+c.path, body)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = ownHost
				req.Header = http.Header{"Content-Type": {c.kind}, "Te": {"trailers"}, "Authorization": {"Bearer " + m.token(tenancy.Scopes(), nil)}}
				client := h2c(t)
				if c.http1 {
					transport := &http.Transport{}
					t.Cleanup(transport.CloseIdleConnections)
					client = &http.Client{Transport: transport}
				}
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					_, _ = rest.Write(c.body[:1])
					<-held
					if taken {
						p := m.policy()
						p.Revocations = append(p.Revocations, tenancy.Revocation{TokenID: "t-1"})
						authenticator.Swap(p)
						return // and never sends the rest
					}
					_, _ = rest.Write(c.body[1:])
					_ = rest.Close()
				}()
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				_ = rest.Close()
				<-sent
				stored := f.asked()["logs"]
				if got := outcome(resp); taken && (got != c.want || stored != 0) || !taken && stored != 1 {
					t.Errorf("taken back %t: %s, %d stored", taken, got, stored)
				}
			})
		}
	}
}
