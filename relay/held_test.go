package relay

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
)

// tellsOfHolds says when somebody is held, and not any more.
type tellsOfHolds struct {
	*tenancy.Authenticator
	held, released chan struct{}
}

func (a tellsOfHolds) Hold(ctx context.Context, id tenancy.Identity) (context.Context, context.CancelFunc) {
	defer func() { a.held <- struct{}{} }()
	ctx, release := a.Authenticator.Hold(ctx, id)
	return ctx, func() { release(); a.released <- struct{}{} }
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
		"gRPC":     {false, false, exportLogs, "application/grpc", frame(message), "grpc 16, grpc 1 or grpc 14"},
		"its port": {true, false, exportLogs, "application/grpc", frame(message), "grpc 1 or grpc 4"}, // who tries again gets 16
	} {
		for _, taken := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				f, _, m := newTenants(t)
				authenticator := f.relay.opts.Authenticator.(*tenancy.Authenticator)
				tells := tellsOfHolds{authenticator, make(chan struct{}, 1), make(chan struct{}, 1)}
				f.relay.opts.Authenticator = tells
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
					<-tells.held
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
				<-tells.released // before the connection ends
				stored := f.asked()["logs"]
				got := outcome(resp)
				if trailer := resp.Trailer.Get("Grpc-Status"); trailer != "" {
					got = "grpc " + trailer
				}
				if taken && (!strings.Contains(c.want, got) || stored != 0) || !taken && stored != 1 {
					t.Errorf("taken back %t: %s, %d stored", taken, got, stored)
				}
			})
		}
	}
}

// Whoever waits for the answer to a query when the token is taken back doesn't get it.
func TestQueriesEndWithTheirToken(t *testing.T) {
	f, log, m := newTenants(t)
	f.loki.respond = func(r *http.Request) (*http.Response, error) {
		revoke(f, m)
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	r := httptest.NewRequest(http.MethodGet, "/loki/api/v1/query", nil)
	r.Host = ownHost
	r.Header.Set("Authorization", "Bearer "+m.token(tenancy.Scopes(), nil))
	if got := outcome(f.do(r)); got != "401" {
		t.Errorf("%s, want 401", got)
	}
	if rec := log.next(t); rec.Phase != audit.Whole || !strings.Contains(rec.Reason, string(tenancy.Revoked)) {
		t.Errorf("audited as %+v", rec)
	}
}

// A client that doesn't read its answer doesn't hold it for longer than its token.
func TestAnswersThatAreNotReadEnd(t *testing.T) {
	f, log, m := newTenants(t)
	f.relay.writeTimeout = shortBody
	route := Route{
		Methods: "GET", Pattern: "/long", Scope: tenancy.InvocationsRead, Long: true,
		serve: func(*Relay) handler {
			return func(w http.ResponseWriter, _ *http.Request, _ tenancy.Identity) error {
				stuck := time.AfterFunc(time.Second, func() { revoke(f, m) }) // it takes less
				defer stuck.Stop()
				for {
					if _, err := w.Write(make([]byte, 1<<20)); err != nil {
						return err
					}
				}
			}
		},
	}
	server := httptest.NewServer(f.relay.adapt(route))
	defer server.Close()
	conn := dial(t, server.Listener.Addr().String())
	if _, err := io.WriteString(conn, "GET /long HTTP/1.1\r\nHost: "+ownHost+"\r\nAuthorization: Bearer "+m.living(time.Hour)+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if begin, end := log.next(t), log.next(t); begin.Phase != audit.Begin || !strings.Contains(end.Reason, string(tenancy.Revoked)) {
		t.Errorf("%+v, then %+v", begin, end)
	}
}
