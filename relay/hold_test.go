package relay

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
)

// endsToken is how a token ends in these tests, while a request holds it.
var endsToken = map[string]struct {
	end    func(f *fixture, m *minter)
	life   time.Duration
	reason tenancy.Reason
}{
	"revoked": {revoke, time.Hour, tenancy.Revoked},
	"expired": {func(*fixture, *minter) {}, 1500 * time.Millisecond, tenancy.Expired},
}

// revoke takes the tokens of these tests back.
func revoke(f *fixture, m *minter) {
	p := m.policy()
	p.Revocations = append(p.Revocations, tenancy.Revocation{TokenID: "t-1"})
	f.relay.opts.Authenticator.(*tenancy.Authenticator).Swap(p)
}

func (m *minter) living(life time.Duration) string {
	return m.token(tenancy.Scopes(), func(c jwt.MapClaims) { c["exp"] = jwt.NewNumericDate(time.Now().Add(life)).Unix() + 1 })
}

// upgrades answers as Loki does to a tail, and gives away the engine's end.
func upgrades(ends chan<- net.Conn) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		ours, theirs := net.Pipe()
		ends <- theirs
		return &http.Response{
			StatusCode: http.StatusSwitchingProtocols, Request: r, Body: ours, ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}},
		}, nil
	}
}

// tail begins a live tail and returns both of its ends.
func (f *fixture) tail(t *testing.T, addr, token string) (client *bufio.Reader, engine net.Conn) {
	t.Helper()
	ends := make(chan net.Conn, 1)
	f.loki.respond = upgrades(ends)
	conn := dial(t, addr)
	head := "GET /loki/api/v1/tail?query=%7Ba%3D1%7D HTTP/1.1\r\nHost: " + ownHost + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer " + token + "\r\n\r\n"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	client = bufio.NewReader(conn)
	resp, err := http.ReadResponse(client, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	return client, <-ends
}

func TestTailsEndWithTheirToken(t *testing.T) {
	for name, tt := range endsToken {
		t.Run(name, func(t *testing.T) {
			f, log, m := newTenants(t)
			client, engine := f.tail(t, f.publicPort(t), m.living(tt.life))
			if _, err := io.WriteString(engine, "a line"); err != nil {
				t.Fatal(err)
			}
			if line, err := client.Peek(6); err != nil || string(line) != "a line" {
				t.Fatalf("%q, %v", line, err)
			}
			if begin := log.next(t); begin.Phase != audit.Begin || begin.Identity.Tenant != "acme" || len(begin.Query) != 1 {
				t.Errorf("the beginning is %+v", begin)
			}
			tt.end(f, m)
			if rest, err := io.ReadAll(client); err != nil || string(rest) != "a line" {
				t.Errorf("the client reads %q, %v", rest, err)
			}
			if _, err := engine.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("the engine's end: %v", err)
			}
			end := log.next(t)
			if end.Phase != audit.End || end.Status != http.StatusSwitchingProtocols || end.Out != 6 || !strings.Contains(end.Reason, string(tt.reason)) {
				t.Errorf("the end is %+v", end)
			}
		})
	}
}

// A client that doesn't read its tail doesn't keep it.
func TestTailsOfClientsThatDoNotReadEnd(t *testing.T) {
	f, log, m := newTenants(t)
	_, engine := f.tail(t, f.publicPort(t), m.living(time.Hour))
	flooded, full := make(chan error, 1), make(chan struct{})
	go func() {
		block := make([]byte, 1<<20)
		for i := 0; ; i++ {
			if i == 8 { // beyond what sockets take
				close(full)
			}
			if _, err := engine.Write(block); err != nil {
				flooded <- err
				return
			}
		}
	}()
	select {
	case <-full:
	case <-time.After(time.Second): // it takes less
	}
	revoke(f, m)
	if err := <-flooded; err == nil {
		t.Error("the engine can still write")
	}
	for end := log.next(t); end.Phase != audit.End; end = log.next(t) {
	}
}

// gRPC streams end with the status that says why, before and within their answer.
func TestStreamsEndWithTheirToken(t *testing.T) {
	for name, tt := range endsToken {
		for _, began := range []string{"within", "before"} {
			t.Run(name+"/"+began, func(t *testing.T) {
				f, log, m := newTenants(t)
				f.tempo.respond = func(r *http.Request) (*http.Response, error) {
					if began == "before" {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					body, end := io.Pipe()
					context.AfterFunc(r.Context(), func() { end.CloseWithError(r.Context().Err()) })
					go func() { _, _ = end.Write(frame([]byte("some"))) }()
					return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 2, Header: http.Header{"Content-Type": {"application/grpc"}}, Body: body, Request: r}, nil
				}
				stream := openStream(t, f.publicPort(t), m.living(tt.life), func() {
					if log.next(t).Phase != audit.Begin {
						t.Error("no beginning was audited")
					}
					if began == "before" {
						tt.end(f, m)
					}
				})
				if began == "within" {
					if _, err := io.ReadFull(stream.Body, make([]byte, frameHead+4)); err != nil {
						t.Fatal(err)
					}
					tt.end(f, m)
				}
				if rest, err := io.ReadAll(stream.Body); err != nil || len(rest) != 0 {
					t.Errorf("the client reads %q, %v", rest, err)
				}
				if got := stream.Header.Get("Grpc-Status") + stream.Trailer.Get("Grpc-Status"); got != "16" {
					t.Errorf("grpc-status %q, want 16", got)
				}
				if end := log.next(t); end.Phase != audit.End || end.Code != "Unauthenticated" || !strings.Contains(end.Reason, string(tt.reason)) {
					t.Errorf("the end is %+v", end)
				}
			})
		}
	}
}

// openStream calls a streaming method; meanwhile runs while the answer is waited for.
func openStream(t *testing.T, addr, token string, meanwhile func()) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/tempopb.StreamingQuerier/SearchTags", strings.NewReader(string(frame(nil))))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = ownHost
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Authorization": {"Bearer " + token}}
	type result struct {
		resp *http.Response
		err  error
	}
	answered := make(chan result, 1)
	client := h2c(t)
	go func() {
		resp, err := client.Do(req)
		answered <- result{resp, err}
	}()
	meanwhile()
	got := <-answered
	if got.err != nil {
		t.Fatal(got.err)
	}
	t.Cleanup(func() { got.resp.Body.Close() })
	return got.resp
}

// Any other long answer breaks off, so that nobody takes it for whole. If nothing of it
// was sent, it is a 401.
func TestLongAnswersBreakOffWithTheirToken(t *testing.T) {
	for name, writes := range map[string]bool{"some was sent": true, "nothing was sent": false} {
		t.Run(name, func(t *testing.T) {
			f, log, m := newTenants(t)
			route := Route{
				Methods: "GET", Pattern: "/long", Scope: tenancy.InvocationsRead, Long: true,
				serve: func(*Relay) handler {
					return func(w http.ResponseWriter, req *http.Request, _ tenancy.Identity) error {
						if writes {
							_, _ = io.WriteString(w, "some")
							_ = http.NewResponseController(w).Flush()
						}
						revoke(f, m)
						<-req.Context().Done()
						return nil
					}
				},
			}
			server := httptest.NewServer(f.relay.adapt(route))
			defer server.Close()
			conn := dial(t, server.Listener.Addr().String())
			if _, err := io.WriteString(conn, "GET /long HTTP/1.1\r\nHost: "+ownHost+"\r\nAuthorization: Bearer "+m.living(time.Hour)+"\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if writes && (string(body) != "some" || !errors.Is(err, io.ErrUnexpectedEOF)) {
				t.Errorf("the client reads %q, %v", body, err)
			}
			if !writes && (resp.StatusCode != http.StatusUnauthorized || strings.Contains(string(body), "revoked")) {
				t.Errorf("%d %q", resp.StatusCode, body)
			}
			if begin, end := log.next(t), log.next(t); begin.Phase != audit.Begin || !strings.Contains(end.Reason, "revoked") {
				t.Errorf("audited as %+v and %+v", begin, end)
			}
		})
	}
}
