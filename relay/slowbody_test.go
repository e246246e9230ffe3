package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// shortBody is how long bodies may take in these tests.
const shortBody = 100 * time.Millisecond

// publicPort serves the public port on loopback and returns its address.
func (f *fixture) publicPort(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(f.relay.Public())
	server.Config.DisableGeneralOptionsHandler = true // as the daemon's are
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// dial returns a connection that fails the test rather than hang.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestBodiesThatDoNotComeAreCut(t *testing.T) {
	f := newFixture(t)
	f.relay.bodyTimeout = shortBody
	f.loki.before = readBody
	addr := f.publicPort(t)
	tests := map[string]struct{ target, token, body, want string }{
		"no token":               {"POST /v1/logs", "", "Content-Length: 1000\r\n\r\n", "401"},
		"a wrong token":          {"POST /v1/logs", "forged", "Content-Length: 1000\r\n\r\n{", "401"},
		"a wrong token, chunked": {"POST /v1/logs", "forged", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "401"},
		"a wrong scope":          {"POST /loki/api/v1/push", "read", "Content-Length: 1000\r\n\r\n", "403"},
		"a good token":           {"POST /v1/logs", "good", "Content-Length: 1000\r\n\r\n", "400"},
		"a good token, chunked":  {"POST /v1/logs", "good", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "400"},
		"a query":                {"POST /loki/api/v1/query", "good", "Content-Length: 1000\r\n\r\nquery=", "503"},
		"an open route":          {"GET /ready", "", "Content-Length: 1000\r\n\r\n", "200"},
		"no route":               {"POST /nowhere", "", "Content-Length: 1000\r\n\r\n", "404"},
		"a dot segment":          {"POST /%2e%2e/x", "", "Content-Length: 1000\r\n\r\n", "400"},
		"a gRPC method":          {"POST " + exportLogs, "", "Content-Length: 1000\r\n\r\n", "415"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, addr)
			head := tt.target + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
			if tt.token != "" {
				head += "Authorization: Bearer " + tt.token + "\r\n"
			}
			if _, err := io.WriteString(conn, head+tt.body); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn) // to the end: the connection is closed
			if err != nil {
				t.Fatalf("after %q: %v", answer, err)
			}
			if !strings.HasPrefix(string(answer), "HTTP/1.1 "+tt.want+" ") {
				t.Errorf("the answer is %q, want %s", answer, tt.want)
			}
		})
	}
}

// readBody reads what an engine is sent.
func readBody(r *http.Request) error {
	if r.Body == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, r.Body)
	return err
}

// slowly reads a query and takes long over its answer, unless the client seems
// to have gone away.
func slowly(r *http.Request) error {
	if err := readBody(r); err != nil {
		return err
	}
	select {
	case <-time.After(3 * shortBody):
		return nil
	case <-r.Context().Done():
		return errors.New("the query was cancelled")
	}
}

func TestLongAnswersAreNotCut(t *testing.T) {
	f := newFixture(t)
	f.relay.bodyTimeout = shortBody
	f.loki.before = slowly
	conn := dial(t, f.publicPort(t))
	answers := bufio.NewReader(conn)
	const body = "query=rate"
	for i, head := range []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
	} { // over one connection
		if _, err := io.WriteString(conn, "POST /loki/api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n"+head); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || string(got) != "loki" {
			t.Errorf("request %d: %d %q, %v", i, resp.StatusCode, got, err)
		}
	}
}

// A refused request whose body did come leaves its connection usable, and its
// deadline doesn't reach into the next request.
func TestConnectionsOutliveRefusals(t *testing.T) {
	f := newFixture(t)
	f.relay.bodyTimeout = shortBody
	f.loki.before = slowly
	conn := dial(t, f.publicPort(t))
	answers := bufio.NewReader(conn)
	for _, tt := range []struct {
		request string
		want    int
	}{
		{"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", http.StatusUnauthorized},
		{"GET /loki/api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n", http.StatusOK},
		{"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", http.StatusNotFound},
		{"GET /loki/api/v1/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n", http.StatusOK},
	} {
		if _, err := io.WriteString(conn, tt.request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.want {
			t.Errorf("%q: %d, %v", tt.request, resp.StatusCode, err)
		}
	}
}

func TestSlowBodiesOverHTTP2(t *testing.T) {
	f := newFixture(t)
	f.relay.bodyTimeout = shortBody
	f.loki.before = slowly
	addr := f.publicPort(t)
	client := h2c(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	post := func(target string, body io.Reader) int {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+target, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer good")
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		return resp.StatusCode
	}
	never, end := io.Pipe()
	defer end.Close()
	if got := post("/v1/logs", never); got != http.StatusBadRequest {
		t.Errorf("a body that doesn't come: %d", got)
	}
	if got := post("/loki/api/v1/query", strings.NewReader("query=rate")); got != http.StatusOK {
		t.Errorf("a long answer: %d", got)
	}
}
