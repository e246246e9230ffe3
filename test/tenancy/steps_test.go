//go:build integration

package tenancy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// otlp exports to the gRPC port, by a token, by a certificate, and by neither.
func otlp(t *testing.T, s *site) {
	cert, key := s.ca.Issue(t, "shipper")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	record := plog.NewLogs()
	record.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("line over OTLP")
	for name, c := range map[string]struct {
		certs []tls.Certificate
		token string
		want  codes.Code
	}{
		"a token":       {nil, s.tokens["acme-dev"], codes.OK},
		"a certificate": {[]tls.Certificate{pair}, "", codes.OK},
		"neither":       {nil, "", codes.Unauthenticated},
	} {
		conn, err := grpc.NewClient(s.OTLPGRPC, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.ca.Pool(), Certificates: c.certs})))
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		if c.token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
		}
		_, err = plogotlp.NewGRPCClient(conn).Export(ctx, plogotlp.NewExportRequestFromLogs(record))
		if status.Code(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// revoke takes a token back while it tails, and measures what the tail saw of that.
func revoke(t *testing.T, s *site) {
	s.issue("leaver", "--tenant", "acme", "--scope", "logs:read")
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.HTTP, "https://"), &tls.Config{RootCAs: s.ca.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // the daemon may have closed it
	open := func() (*http.Response, *bufio.Reader) {
		fmt.Fprintf(conn, "GET /loki/api/v1/tail?query=%%7Bkubernetes_container_name%%3D%%22restate%%22%%7D HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"+
			"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", s.tokens["leaver"])
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp, r
	}
	resp, r := open()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the tail: %s", resp.Status)
	}
	s.command("token", "revoke", "--subject", "leaver")
	revoked := time.Now()
	if err := conn.SetReadDeadline(revoked.Add(limit)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "EOF") {
		t.Fatalf("the tail goes on: %v", err)
	}
	t.Logf("the tail ended %v after the revocation", time.Since(revoked).Round(time.Millisecond))
	if a := s.ask(s.client(), "", s.tokens["leaver"], all); a.status != http.StatusUnauthorized {
		t.Errorf("afterwards: %d", a.status)
	}
	if a := s.ask(s.client(), "", s.tokens["acme-dev"], all); a.status != http.StatusOK {
		t.Errorf("another token: %d", a.status)
	}
}
