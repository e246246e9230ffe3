//go:build integration

package tenancy

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/invoscope/invoscope/test/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is how long something may take that takes less than a second.
const limit = 60 * time.Second

// site is a daemon that an operator has set up.
type site struct {
	*harness.Daemon
	t      *testing.T
	dir    string // of the files that the operator wrote
	ca     *harness.Authority
	tokens map[string]string // those that were issued, for what must not be in a log
}

const settings = `listen:
  tls: {cert_file: DIR/tls.crt, key_file: DIR/tls.key, client_ca_file: DIR/ca.crt}
tenancy:
  host_suffix: .dev.example.com
  tenants_file: DIR/tenants.yaml
  certificates: [{subject: "CN=shipper,O=Acme", tenant: acme, scopes: ["logs:write", "logs:read"]}]
audit: {file: DIR/audit.log, queries: true}
`

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), ca: harness.NewAuthority(t), tokens: map[string]string{}}
	s.put("ca.crt", s.ca.PEM)
	s.certify("first")
	s.put("tenants.yaml", "defaults: {max_query_limit: 5000}\n")
	s.put("invoscope.yaml", strings.ReplaceAll(settings, "DIR", s.dir))
	s.Daemon = harness.Start(t, "--config", s.path("invoscope.yaml"))
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// put replaces a file.
func (s *site) put(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name+".new"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.path(name+".new"), s.path(name)); err != nil {
		s.t.Fatal(err)
	}
}

// certify gives the daemon a new certificate.
func (s *site) certify(name string) {
	s.t.Helper()
	cert, key := s.ca.Issue(s.t, name, "127.0.0.1", "*.dev.example.com")
	s.put("tls.crt", cert)
	s.put("tls.key", key)
}

// command runs one of ours on the daemon's data directory.
func (s *site) command(args ...string) string {
	s.t.Helper()
	cmd := exec.Command(harness.Binary(s.t, "invoscope"), args...)
	cmd.Env = append(os.Environ(), "INVOSCOPE_DATA_DIR="+s.DataDir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("invoscope %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// issue makes a token of a subject and keeps it in a file.
func (s *site) issue(subject string, args ...string) harness.Client {
	s.t.Helper()
	token := s.command(append([]string{"token", "issue", "--subject", subject}, args...)...)
	s.tokens[subject] = token
	s.put(subject+".token", token+"\n")
	return harness.Client{URL: s.HTTP, TokenFile: s.path(subject + ".token"), CAFile: s.path("ca.crt")}
}

// client asks the daemon by whatever host a URL names.
func (s *site) client(certs ...tls.Certificate) *http.Client {
	dialer := new(net.Dialer)
	address := strings.TrimPrefix(s.HTTP, "https://")
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: s.ca.Pool(), Certificates: certs},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

type answer struct {
	status int
	body   string
	header http.Header
	serial string // of the server's certificate
}

// ask sends a query for logs to a host of the daemon's.
func (s *site) ask(c *http.Client, host, token, query string) answer {
	s.t.Helper()
	address := s.HTTP
	if host != "" {
		address = "https://" + host
	}
	req, err := http.NewRequest(http.MethodGet, address+"/loki/api/v1/query_range?"+url.Values{"query": {query}, "limit": {"1000"}, "since": {"1h"}}.Encode(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{body: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, string(body), resp.Header, resp.TLS.PeerCertificates[0].SerialNumber.String()}
}

// await asks until the answer is as wanted.
func (s *site) await(what string, ask func() answer, ok func(answer) bool) {
	s.t.Helper()
	harness.Poll(s.t, limit, what, func() error {
		if a := ask(); !ok(a) {
			return fmt.Errorf("%d %.300s", a.status, a.body)
		}
		return nil
	})
}

// push ships lines with our own command.
func (s *site) push(c harness.Client, lines ...string) {
	s.t.Helper()
	cmd := c.Ship(s.t)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("ship: %v: %s", err, out)
	}
}

// audited returns the audit log's lines.
func (s *site) audited() (lines []map[string]any, text string) {
	s.t.Helper()
	content, err := os.ReadFile(s.path("audit.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			s.t.Fatalf("%v in %q", err, line)
		}
		lines = append(lines, one)
	}
	return lines, string(content)
}
