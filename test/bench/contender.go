package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// contender is something that takes logs and traces in.
type contender struct {
	name      string
	protocols []string
	// start starts it on an empty directory, in front of a stub, for one protocol.
	start func(ctx context.Context, opts options, dir string, stub *runningStub, protocol string) (*target, error)
	// room is how many bytes of distinct requests it needs.
	room int
	// forwards is whether the stub sees what it takes.
	forwards bool
}

const (
	// roomStub is enough not to be sent from a cache; a stub forgets what it saw.
	roomStub = 64 << 20
	// roomEngine is what an engine takes within some seconds: sent again, it would
	// be dropped as known.
	roomEngine = 512 << 20
)

func contenders() []contender {
	return []contender{
		{
			name: "invoscope", start: startInvoscope, room: roomStub, forwards: true,
			protocols: []string{lokiPush, logsHTTP, logsGRPC, tracesHTTP, tracesGRPC},
		},
		{
			name: "collector", start: startCollector, room: roomStub, forwards: true,
			protocols: []string{logsHTTP, logsGRPC, tracesHTTP, tracesGRPC},
		},
		{
			name: "engine", start: startEngine, room: roomEngine,
			protocols: []string{lokiPush, logsHTTP, tracesHTTP, tracesGRPC},
		},
	}
}

// target is a running contender.
type target struct {
	endpoint endpoint
	pid      int    // of the process that is measured
	admin    string // "http://HOST:PORT" with profiles, if any
	stop     func()
}

// runInfo is what the daemon's run.json says.
type runInfo struct {
	HTTP      string `json:"http"`
	OTLPGRPC  string `json:"otlp_grpc"`
	OTLPHTTP  string `json:"otlp_http"`
	Admin     string `json:"admin"`
	TokenFile string `json:"token_file"`
}

// startDaemon runs "invoscope serve", in front of a stub unless that is nil: then
// with its own engines.
func startDaemon(ctx context.Context, opts options, dir string, stub *runningStub) (*child, runInfo, error) {
	var info runInfo
	argv := []string{
		opts.binary("invoscope"), "serve", "--data-dir", filepath.Join(dir, "data"), "--log-level", "warn",
		"--http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--admin", "127.0.0.1:0",
	}
	if stub != nil {
		file := filepath.Join(dir, "invoscope.yaml")
		config := fmt.Sprintf("engines:\n  loki: {url: \"http://%[1]s\"}\n  tempo: {url: \"http://%[1]s\", otlp: \"http://%[2]s\"}\n", stub.HTTP, stub.GRPC)
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return nil, info, fmt.Errorf("write the configuration: %w", err)
		}
		argv = append(argv, "--config", file)
	}
	daemon, err := spawn(ctx, dir, nil, nil, argv...)
	if err != nil {
		return nil, info, err
	}
	err = poll(ctx, 30*time.Second, func() error {
		content, err := os.ReadFile(filepath.Join(dir, "data", "run.json"))
		if err != nil {
			return err
		}
		return json.Unmarshal(content, &info)
	})
	if err != nil {
		daemon.stop()
		return nil, info, daemon.says(fmt.Errorf("start invoscope: %w", err))
	}
	return daemon, info, nil
}

func startInvoscope(ctx context.Context, opts options, dir string, stub *runningStub, protocol string) (*target, error) {
	daemon, info, err := startDaemon(ctx, opts, dir, stub)
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(info.TokenFile)
	if err != nil {
		daemon.stop()
		return nil, fmt.Errorf("read the token: %w", err)
	}
	e := otlpEndpoint(protocol, strings.TrimPrefix(info.OTLPHTTP, "http://"), info.OTLPGRPC)
	if protocol == lokiPush {
		e = endpoint{Address: strings.TrimPrefix(info.HTTP, "http://"), Path: "/loki/api/v1/push"}
	}
	e.Header = map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(token))}
	return &target{endpoint: e, pid: daemon.pid(), admin: info.Admin, stop: daemon.stop}, nil
}

// otlpEndpoint is the standard endpoint of a protocol.
func otlpEndpoint(protocol, forHTTP, forGRPC string) endpoint {
	switch {
	case protocol == logsGRPC:
		return endpoint{Address: forGRPC, Path: methodLogs}
	case protocol == tracesGRPC:
		return endpoint{Address: forGRPC, Path: methodTraces}
	case isLogs(protocol):
		return endpoint{Address: forHTTP, Path: "/v1/logs"}
	}
	return endpoint{Address: forHTTP, Path: "/v1/traces"}
}

// startEngine runs the real engine as the daemon sets it up. The requests go past
// the daemon, to the engine's sockets.
func startEngine(ctx context.Context, opts options, dir string, _ *runningStub, protocol string) (*target, error) {
	daemon, _, err := startDaemon(ctx, opts, dir, nil)
	if err != nil {
		return nil, err
	}
	engine := "tempo"
	if isLogs(protocol) {
		engine = "loki"
	}
	data := filepath.Join(dir, "data", engine)
	pid, err := engineOf(engine, data)
	if err != nil {
		daemon.stop()
		return nil, err
	}
	socket := "unix:" + filepath.Join(data, "run", "http.sock:80")
	e := otlpEndpoint(protocol, socket, "unix:"+filepath.Join(data, "run", "otlp.sock"))
	switch protocol {
	case lokiPush:
		e.Path = "/loki/api/v1/push"
	case logsHTTP:
		e.Path = "/otlp/v1/logs"
	}
	e.Header = map[string]string{"x-scope-orgid": "bench"}
	return &target{endpoint: e, pid: pid, stop: daemon.stop}, nil
}

// collectorConfig makes a Collector do what the relay does. An export is
// acknowledged once it is in the persistent queue, since batches are made behind
// that; the queue's file isn't synced, which is how file_storage comes.
const collectorConfig = `
receivers:
  otlp:
    protocols:
      grpc: {endpoint: %[1]q, max_recv_msg_size_mib: 64}
      http: {endpoint: %[2]q}
processors:
  transform:
    log_statements:
      - context: log
        statements:
          - set(resource.attributes["tenant"], "default")
          - merge_maps(log.attributes, ExtractPatterns(log.body, "\"restate\\.invocation\\.id\":\"(?P<restate_invocation_id>inv_1[0-9A-Za-z]{33})\""), "upsert") where IsString(log.body)
    trace_statements:
      - context: resource
        statements:
          - set(resource.attributes["tenant"], "default")
exporters:
  otlp_http:
    endpoint: http://%[3]s
    compression: none
    headers: {X-Scope-OrgID: default}
    sending_queue:
      storage: file_storage
      sizer: items
      queue_size: 500000
      num_consumers: 4
      block_on_overflow: true
      batch: {sizer: items, flush_timeout: 100ms, min_size: 1000, max_size: 2000}
extensions:
  file_storage: {directory: %[4]q, create_directory: true}
service:
  extensions: [file_storage]
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    logs: {receivers: [otlp], processors: [transform], exporters: [otlp_http]}
    traces: {receivers: [otlp], processors: [transform], exporters: [otlp_http]}
`

func startCollector(ctx context.Context, opts options, dir string, stub *runningStub, protocol string) (*target, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "otelcol.yaml")
	config := fmt.Sprintf(collectorConfig, ports[0], ports[1], stub.HTTP, filepath.Join(dir, "queue"))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("write the Collector's configuration: %w", err)
	}
	collector, err := spawn(ctx, dir, nil, nil, opts.binary("otelcol"), "--config", file)
	if err != nil {
		return nil, err
	}
	err = poll(ctx, 30*time.Second, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ports[1], nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req) // any answer will do
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	if err != nil {
		collector.stop()
		return nil, collector.says(fmt.Errorf("start the Collector: %w", err))
	}
	return &target{endpoint: otlpEndpoint(protocol, ports[1], ports[0]), pid: collector.pid(), stop: collector.stop}, nil
}

// freePorts are addresses on loopback that nobody listens on.
func freePorts(n int) ([]string, error) {
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer listener.Close()
		port := listener.Addr().(*net.TCPAddr).Port
		addresses = append(addresses, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	return addresses, nil
}
