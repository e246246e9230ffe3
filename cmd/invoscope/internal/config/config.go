package config

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/ingest"
	"github.com/invoscope/invoscope/relay/queue"
)

// Config is all that a user can set. The YAML keys are the documentation's.
type Config struct {
	// DataDir holds everything that must survive a restart.
	DataDir string  `yaml:"data_dir"`
	Listen  Listen  `yaml:"listen"`
	Log     Log     `yaml:"log"`
	Tenancy Tenancy `yaml:"tenancy"`
	Engines Engines `yaml:"engines"`
	Ingest  Ingest  `yaml:"ingest"`
	Queue   Queue   `yaml:"queue"`
	Index   Index   `yaml:"index"`
	Grafana Grafana `yaml:"grafana"`
	Audit   Audit   `yaml:"audit"`
}

// Listen holds the addresses to listen on, as host:port. Port 0 picks a free one.
type Listen struct {
	HTTP     string `yaml:"http"`      // everything public
	OTLPGRPC string `yaml:"otlp_grpc"` // OTLP/gRPC
	OTLPHTTP string `yaml:"otlp_http"` // OTLP/HTTP
	Admin    string `yaml:"admin"`     // metrics, health, profiles: without a token
	TLS      TLS    `yaml:"tls"`       // of all of them but Admin
	// MaxConnections is how many each port has at a time; further ones wait.
	MaxConnections uint64 `yaml:"max_connections"`
}

// Log says what the daemon logs about itself, on stderr.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Engines are the Loki and the Tempo behind the relay.
type Engines struct {
	Loki  Loki  `yaml:"loki"`
	Tempo Tempo `yaml:"tempo"`
}

// Loki is a program to run or, with a URL, a server to use.
type Loki struct {
	Binary    string            `yaml:"binary"`     // empty: loki beside invoscope, else on the PATH
	Retention Duration          `yaml:"retention"`  // of the program's data
	URL       string            `yaml:"url"`        // http(s)://host[:port][/prefix]
	Headers   map[string]Secret `yaml:"headers"`    // sent with every request to URL
	ReadyPath string            `yaml:"ready_path"` // what to ask below URL whether it is ready; empty: /ready
}

// Tempo is a program to run or, with a URL, a server to use.
type Tempo struct {
	Binary    string            `yaml:"binary"`     // empty: tempo beside invoscope, else on the PATH
	Retention Duration          `yaml:"retention"`  // of the program's data
	URL       string            `yaml:"url"`        // http(s)://host[:port][/prefix], for queries
	OTLP      string            `yaml:"otlp"`       // http(s)://host:port of its OTLP/gRPC receiver
	Headers   map[string]Secret `yaml:"headers"`    // sent with every request to either
	ReadyPath string            `yaml:"ready_path"` // what to ask below URL whether it is ready; empty: /ready
}

// Remote is the server as the relay reaches it.
func (l Loki) Remote() engine.RemoteOptions {
	return engine.RemoteOptions{URL: l.URL, Header: reveal(l.Headers), ReadyPath: l.ReadyPath}
}

// Remote is the server as the relay reaches it.
func (t Tempo) Remote() engine.RemoteOptions {
	return engine.RemoteOptions{URL: t.URL, OTLPEndpoint: t.OTLP, Header: reveal(t.Headers), ReadyPath: t.ReadyPath}
}

func reveal(secrets map[string]Secret) http.Header {
	plain := http.Header{}
	for name, s := range secrets {
		plain.Set(name, string(s))
	}
	return plain
}

// Ingest says what is taken in and how.
type Ingest struct {
	MaxRequestBytes Bytes `yaml:"max_request_bytes"`
	// ContinuationLines gives a line that begins no record, such as one of a stack
	// trace, the invocation of the record before it in its stream.
	ContinuationLines bool `yaml:"continuation_lines"`
	// RelabelPresets are names of sets of rules; they come before RelabelConfigs.
	RelabelPresets []string  `yaml:"relabel_presets"`
	RelabelConfigs []Relabel `yaml:"relabel_configs"`
}

// Queue says how what was acknowledged is kept until an engine has it safely, for
// logs and traces each.
type Queue struct {
	Fsync          queue.Fsync `yaml:"fsync"`            // batch, always or never
	MaxBytes       Bytes       `yaml:"max_bytes"`        // of all tenants
	TenantMaxBytes Bytes       `yaml:"tenant_max_bytes"` // of one tenant
	MaxAge         Duration    `yaml:"max_age"`          // of a tenant's oldest request; beyond it no more are taken
	DeadMaxBytes   Bytes       `yaml:"dead_max_bytes"`   // of a tenant's dead letters
}

// Index says how the invocation index is kept and used.
type Index struct {
	// Retention is how long an invocation is remembered after it was last seen.
	Retention Duration `yaml:"retention"`
	// MaxBytes bounds the index on disk; beyond it the oldest invocations are forgotten.
	MaxBytes Bytes `yaml:"max_bytes"`
	// Redis is where the replicas of a daemon share the index: redis(s)://[user:password@]host[:port][/db].
	// Empty means Pebble, in the data directory.
	Redis Secret `yaml:"redis"`
	// Lookups says whether TraceQL searches for one invocation id are narrowed to
	// what the index knows.
	Lookups bool `yaml:"lookups"`
	// Tenants holds what differs for a tenant.
	Tenants map[string]TenantIndex `yaml:"tenants"`
}

// TenantIndex is what of [Index] a tenant can have differently; what is nil is as
// for everybody.
type TenantIndex struct {
	Retention *Duration `yaml:"retention"`
	Lookups   *bool     `yaml:"lookups"`
}

// RetentionOf is how long a tenant's invocations are remembered.
func (x Index) RetentionOf(tenant string) time.Duration {
	if own := x.Tenants[tenant].Retention; own != nil {
		return time.Duration(*own)
	}
	return time.Duration(x.Retention)
}

// LookupsOf says whether a tenant's searches are narrowed.
func (x Index) LookupsOf(tenant string) bool {
	if own := x.Tenants[tenant].Lookups; own != nil {
		return *own
	}
	return x.Lookups
}

// Grafana is the Grafana that links lead to.
type Grafana struct {
	URL string `yaml:"url"` // http(s)://host[:port][/prefix]; empty: there are no links
}

// Bytes is a size, written as a number or with a unit such as 10MiB.
type Bytes int64

// UnmarshalText parses a size.
func (b *Bytes) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		n, err = units.ParseStrictBytes(string(text))
	}
	if err != nil {
		return fmt.Errorf("want a size such as 10MiB, not %q", text)
	}
	*b = Bytes(n)
	return nil
}

// MarshalText prints a size that UnmarshalText reads.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(units.Base2Bytes(b).String()), nil }

// Duration is a time span, written as Go does (36h, 90m) or in days (14d).
type Duration time.Duration

// UnmarshalText parses a time span.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := model.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("want a time span such as 14d or 36h, not %q", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText prints a time span that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(model.Duration(d).String()), nil }

// Secret is a string that never prints.
type Secret string

const hidden = "<secret>"

// String hides the secret.
func (Secret) String() string { return hidden }

// GoString hides the secret.
func (Secret) GoString() string { return hidden }

// MarshalText hides the secret, but not that there is none.
func (s Secret) MarshalText() ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	return []byte(hidden), nil
}

const (
	defaultRetention = Duration(14 * 24 * time.Hour)
	defaultLeeway    = Duration(30 * time.Second)
	defaultRefresh   = Duration(15 * time.Minute)
)

// Default is the configuration of a daemon that was told nothing.
func Default() Config {
	return Config{
		DataDir: "./data",
		Listen: Listen{
			HTTP:     "127.0.0.1:3100",
			OTLPGRPC: "127.0.0.1:4317",
			OTLPHTTP: "127.0.0.1:4318",
			Admin:    "127.0.0.1:9464",

			MaxConnections: 8192,
		},
		Log:     Log{Level: "info", Format: "text"},
		Tenancy: Tenancy{DefaultTenant: "default", Key: "tenant"},
		Engines: Engines{Loki: Loki{Retention: defaultRetention}, Tempo: Tempo{Retention: defaultRetention}},
		Ingest:  Ingest{MaxRequestBytes: 10 << 20, RelabelPresets: ingest.Presets()},
		Queue: Queue{
			Fsync:          queue.FsyncBatch,
			MaxBytes:       1 << 30,
			TenantMaxBytes: 256 << 20,
			MaxAge:         Duration(24 * time.Hour),
			DeadMaxBytes:   64 << 20,
		},
		Index: Index{Retention: defaultRetention, MaxBytes: 2 << 30, Lookups: true},
		Audit: Audit{MaxBytes: 100 << 20, MaxFiles: 5},
	}
}
