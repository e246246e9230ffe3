//go:build integration

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/invoscope/invoscope/test/harness"
)

// buildService builds the services of test/restate and returns the program's path.
func buildService(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "service")
	build := exec.Command("go", "build", "-trimpath", "-o", path, ".")
	build.Dir = filepath.Join(harness.Root(t), "test", "restate")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build test/restate: %v\n%s", err, out)
	}
	return path
}

// startService runs the services and returns their URL.
func startService(t *testing.T, path string) string {
	t.Helper()
	return startServiceWriting(t, path, &transcript{})
}

// startServiceWriting is startService with what the services print in out.
func startServiceWriting(t *testing.T, path string, out *transcript) string {
	t.Helper()
	cmd := exec.Command(path, "-listen", "127.0.0.1:0")
	cmd.Stdout = out
	harness.Spawn(t, cmd)
	var address string
	harness.Poll(t, 30*time.Second, "service listens", func() error {
		var found bool
		line, _, whole := strings.Cut(out.String(), "\n")
		if _, address, found = strings.Cut(line, "listening on "); !found || !whole {
			return fmt.Errorf("it wrote %q", out.String())
		}
		return nil
	})
	return "http://" + address
}

// restateServer is a running restate-server whose output goes to Invoscope.
type restateServer struct {
	proc, ship *harness.Process
	shipInput  io.Closer
	output     *transcript
	ingress    string // URL
	admin      string // URL
}

// startRestate runs the pinned restate-server on free ports, exporting its spans
// to tracing and its log through "invoscope ship", and waits until it is healthy.
func startRestate(t *testing.T, client harness.Client, tracing string) *restateServer {
	t.Helper()
	token, err := client.Token()
	if err != nil {
		t.Fatal(err)
	}
	s := &restateServer{output: &transcript{}}
	ship := client.Ship(t, "cluster=e2e")
	input, err := ship.StdinPipe()
	if err != nil {
		t.Fatalf("open the shipper's stdin: %v", err)
	}
	s.shipInput, s.ship = input, harness.Spawn(t, ship)

	cmd := exec.Command(installRestate(t), "--no-logo")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"TMPDIR=" + t.TempDir(), // it leaves folders there
		"RESTATE_BASE_DIR=" + t.TempDir(),
		"RESTATE_NODE_NAME=e2e",
		"RESTATE_BIND_IP=127.0.0.1",
		"RESTATE_LISTEN_MODE=tcp",
		"RESTATE_USE_RANDOM_PORTS=true",
		"RESTATE_DEFAULT_NUM_PARTITIONS=2",
		"RESTATE_DISABLE_TELEMETRY=true",
		"RESTATE_LOG_FORMAT=json",
		"RESTATE_LOG_FILTER=info,restate=debug",
		"RESTATE_TRACING_ENDPOINT=" + tracing,
		"RESTATE_TRACING_HEADERS__AUTHORIZATION=Bearer " + token,
	}
	// One writer for both is 2>&1; it keeps a copy of what the shipper gets.
	cmd.Stdout = io.MultiWriter(s.output, input)
	cmd.Stderr = cmd.Stdout
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("restate-server complained:\n%s", strings.Join(slices.DeleteFunc(s.lines(), func(line string) bool {
				return strings.Contains(line, `"level":"DEBUG"`) || strings.Contains(line, `"level":"INFO"`) || strings.Contains(line, "the storm goes on")
			}), "\n"))
		}
	})
	s.proc = harness.Spawn(t, cmd)
	harness.Poll(t, time.Minute, "restate-server is healthy", func() error { return s.healthy(t) })
	return s
}

// installRestate returns the path of the pinned restate-server.
func installRestate(t *testing.T) string {
	t.Helper()
	install := exec.Command(filepath.Join(harness.Root(t), "test", "restate", "install.sh"))
	install.Stderr = t.Output()
	path, err := install.Output()
	if err != nil {
		t.Fatalf("install restate-server: %v", err)
	}
	return strings.TrimSpace(string(path))
}

// healthy looks up the ports in the log and asks both for their health.
func (s *restateServer) healthy(t *testing.T) error {
	select {
	case <-s.proc.Done():
		t.Fatalf("restate-server ended while starting: %v", s.proc.Wait(0))
	default:
	}
	s.admin, s.ingress = s.listening("admin-api-server"), s.listening("http-ingress-server")
	for _, url := range []string{s.admin + "/health", s.ingress + "/restate/health"} {
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, resp.Status)
		}
	}
	return nil
}

// listening is the URL of one of Restate's servers, once its log tells it.
func (s *restateServer) listening(name string) string {
	for _, line := range s.lines() {
		var entry struct {
			Span struct {
				Name    string `json:"server_name"`
				Address string `json:"server.address"`
				Port    int    `json:"server.port"`
			} `json:"span"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Span.Name == name && entry.Span.Port != 0 {
			return "http://" + net.JoinHostPort(entry.Span.Address, strconv.Itoa(entry.Span.Port))
		}
	}
	return "http://" + name + ".not-listening.invalid"
}

// register tells Restate of the services at url.
func (s *restateServer) register(t *testing.T, url string) {
	t.Helper()
	status, body, err := s.post(t.Context(), s.admin+"/deployments", fmt.Sprintf(`{"uri":%q}`, url), nil)
	if err != nil || status != http.StatusCreated {
		t.Fatalf("register %s: status %d: %s (%v)", url, status, body, err)
	}
}

// invocations asks Restate's SQL for every invocation, by target. It is an error
// while one is missing or not completed.
func (s *restateServer) invocations(ctx context.Context) (map[string]invocation, error) {
	const query = `{"query":"select id, target, invoked_by_id, status, completion_result from sys_invocation"}`
	status, body, err := s.post(ctx, s.admin+"/query", query, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return nil, fmt.Errorf("query sys_invocation: %w", err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("query sys_invocation: status %d: %s", status, body)
	}
	var answer struct {
		Rows []invocation `json:"rows"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("decode sys_invocation: %w", err)
	}
	found := map[string]invocation{}
	for _, in := range answer.Rows {
		want, known := expectations[in.Target]
		if !known || in.Status != "completed" {
			return nil, fmt.Errorf("%s %s is %s", in.Target, in.ID, in.Status)
		}
		in.expected = want
		found[in.Target] = in
	}
	if len(found) != len(expectations) || len(answer.Rows) != len(expectations) {
		return nil, fmt.Errorf("%d invocations of %d targets, want %d", len(answer.Rows), len(found), len(expectations))
	}
	return found, nil
}

// post sends JSON and returns the response's status and body.
func (s *restateServer) post(ctx context.Context, url, content string, header http.Header) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// stop ends restate-server, which flushes its spans, and then the shipper, which
// must have everything acknowledged.
func (s *restateServer) stop(t *testing.T) {
	t.Helper()
	if err := s.proc.Terminate(30 * time.Second); err != nil {
		t.Fatalf("stop restate-server: %v", err)
	}
	if err := s.shipInput.Close(); err != nil {
		t.Fatalf("end the shipper's stdin: %v", err)
	}
	if err := s.ship.Wait(30 * time.Second); err != nil {
		t.Fatalf("invoscope ship: %v", err)
	}
}

// lines are what restate-server wrote so far.
func (s *restateServer) lines() []string {
	return strings.FieldsFunc(s.output.String(), func(r rune) bool { return r == '\n' })
}

// transcript keeps all that is written to it.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(b)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
