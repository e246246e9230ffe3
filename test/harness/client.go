package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"google.golang.org/protobuf/encoding/protowire"
)

// queryLimit bounds one query, so that a hanging one fails its test by name.
const queryLimit = 30 * time.Second

// Client is one tenant's view of a daemon: the public port and a token.
type Client struct {
	URL       string // "http://HOST:PORT" of the public port
	TokenFile string
	// CAFile is PEM: who vouches for the daemon's certificate; empty without TLS.
	CAFile string
}

// environ is our own environment with what logcli reads of it.
func (c Client) environ() []string {
	env := append(os.Environ(), "LOKI_ADDR="+c.URL, "LOKI_BEARER_TOKEN_FILE="+c.TokenFile)
	if c.CAFile != "" {
		env = append(env, "LOKI_CA_CERT_PATH="+c.CAFile)
	}
	return env
}

// Token reads the token.
func (c Client) Token() (string, error) {
	content, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// Logcli runs the real logcli, set up by environment as the documentation says,
// and returns its stdout. The error carries its stderr.
func (c Client) Logcli(t testing.TB, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), queryLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t, "logcli"), args...)
	cmd.Env = c.environ()
	out, err := run(cmd)
	if err != nil {
		return "", fmt.Errorf("logcli %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

// LogLines are the lines, oldest first and bytes as stored, that logcli finds
// for query in the last hour.
func (c Client) LogLines(t testing.TB, query string) ([]string, error) {
	t.Helper()
	out, err := c.Logcli(t, "query", "--quiet", "--no-labels", "--forward",
		"--limit=5000", "--batch=5000", "--since=1h", "--output=raw", query)
	if err != nil || out == "" {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n"), nil
}

// Ship is "invoscope ship --file -" with a label for each "key=value" and a state
// directory of its own. The caller gives it a Stdin and runs it.
func (c Client) Ship(t testing.TB, labels ...string) *exec.Cmd {
	t.Helper()
	args := []string{"ship", "--url", c.URL, "--token-file", c.TokenFile, "--state-dir", t.TempDir(), "--file", "-"}
	if c.CAFile != "" {
		args = append(args, "--ca-file", c.CAFile)
	}
	for _, label := range labels {
		args = append(args, "--label", label)
	}
	return exec.Command(Binary(t, "invoscope"), args...)
}

// Search returns the ids of the traces of the last hour that a TraceQL query
// finds, sorted, each 32 hexadecimal digits.
func (c Client) Search(ctx context.Context, query string) ([]string, error) {
	now := time.Now()
	body, err := c.Get(ctx, "/api/search?"+url.Values{
		"q":     {query},
		"limit": {"1000"},
		"start": {strconv.FormatInt(now.Add(-time.Hour).Unix(), 10)},
		"end":   {strconv.FormatInt(now.Add(time.Minute).Unix(), 10)},
	}.Encode(), "application/json")
	if err != nil {
		return nil, err
	}
	var found struct {
		Traces []struct {
			TraceID string `json:"traceID"`
		} `json:"traces"`
	}
	if err := json.Unmarshal(body, &found); err != nil {
		return nil, fmt.Errorf("decode search answer: %w", err)
	}
	var ids []string
	for _, trace := range found.Traces {
		// Tempo leaves leading zeros out.
		ids = append(ids, strings.Repeat("0", max(0, 32-len(trace.TraceID)))+trace.TraceID)
	}
	slices.Sort(ids)
	return ids, nil
}

// Trace returns the spans of a trace, asked for as Grafana does. A trace that
// Tempo doesn't know has none.
func (c Client) Trace(ctx context.Context, id string) ([]Span, error) {
	body, err := c.Get(ctx, "/api/v2/traces/"+id, "application/protobuf")
	if err != nil {
		return nil, err
	}
	// tempopb.TraceByIDResponse holds the trace, which has OTLP's form, as field 1.
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return nil, fmt.Errorf("decode trace: %w", protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, kind, body[n:])
		if size < 0 {
			return nil, fmt.Errorf("decode trace: %w", protowire.ParseError(size))
		}
		if number == 1 && kind == protowire.BytesType {
			trace, _ := protowire.ConsumeBytes(body[n:])
			traces, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(trace)
			if err != nil {
				return nil, fmt.Errorf("decode trace: %w", err)
			}
			return Spans(traces), nil
		}
		body = body[n+size:]
	}
	return nil, nil
}

// Get returns the body of path on the public port. Any status but 200 is an
// error that carries the body.
func (c Client) Get(ctx context.Context, path, accept string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, queryLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path, nil)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", path, err)
	}
	token, err := c.Token()
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err // names method and URL
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s: %s", path, resp.Status, body)
	}
	return body, nil
}

// run returns what cmd writes to stdout; the error carries stderr.
func run(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
