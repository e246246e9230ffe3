package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials/insecure"
)

// EmbeddedOptions tell how to run an engine as a child process.
type EmbeddedOptions struct {
	// Binary is the engine's program: a path, or a name to look up in PATH.
	Binary string
	// DataDir is where the engine keeps everything; made when missing. One engine
	// of one daemon at a time may use it.
	DataDir string
	// Retention is how long data is kept, in whole hours: 14 days if zero, and at
	// least a day.
	Retention time.Duration
	// Log gets our own messages and the child's; nothing is logged if nil.
	Log *slog.Logger
	// Registerer gets the metrics, with the label engine; none if nil.
	Registerer prometheus.Registerer
	// StopTimeout is how long the child may take to end before it is killed. If
	// zero, 15 s for Loki and 5 s for Tempo.
	StopTimeout time.Duration
	// ReadyTimeout is how long the child may take to become ready, its replay of
	// what it wrote ahead included, before it is started again; 5 minutes if zero.
	ReadyTimeout time.Duration

	guard   []string      // stands between us and the child, where not the default
	env     []string      // added to the child's environment
	backoff time.Duration // before the first restart; firstBackoff if zero
}

// kind is what sets Loki and Tempo apart as children.
type kind struct {
	name        string
	template    string
	tenant      string // the template of a tenant's overrides
	stopTimeout time.Duration
	harmless    []string // warnings and errors of a start as it should be
	isSaved     func(logRecord) bool
	isLosing    func(logRecord) bool
	discards    bool // it counts what it drops after it acknowledged it
	// repair puts right, before a start, what a kill may have left behind, and
	// returns the paths of it.
	repair func(dataDir string, retention time.Duration) ([]string, error)
}

// Embedded is a real Loki or Tempo that runs as our child. It does nothing
// until Run is called. Its methods may be called at any time from any goroutine.
type Embedded struct {
	kind   kind
	opts   EmbeddedOptions
	log    *slog.Logger
	layout layout
	client *client
	err    error // why it can't run; answered by Run and Ready

	current  atomic.Pointer[incarnation]
	restarts prometheus.Counter
}

var _ Engine = (*Embedded)(nil)

// incarnation is one life of the child, or the time without one.
type incarnation struct {
	generation uint64 // from 1; counts on after the child is gone
	started    time.Time
	alive      bool
	ready      bool
	reason     error // why it isn't ready
}

// NewLoki makes an engine that runs Loki as a child.
func NewLoki(opts EmbeddedOptions) *Embedded {
	e := newEmbedded(kind{
		name:        "loki",
		template:    lokiTemplate,
		tenant:      lokiTenant,
		stopTimeout: 15 * time.Second,
		isLosing:    isLokiLosing,
		repair:      repairLokiLog,
		// Its distributor may look at the ring before its ingester is in it
		// (pkg/distributor/ratestore.go, updateAllRates).
		harmless: []string{"error getting ingester clients"},
	}, opts)
	e.client.pusher = lokiPusher{e.client}
	return e
}

// NewTempo makes an engine that runs Tempo as a child.
func NewTempo(opts EmbeddedOptions) *Embedded {
	e := newEmbedded(kind{
		name:     "tempo",
		template: tempoTemplate,
		tenant:   tempoTenant,
		// Tempo takes more than 5 s, of which its metrics generator sleeps five, and
		// hangs when it was queried in the last minute. By then its ingester has
		// written everything to its write-ahead log, and stopped.
		stopTimeout: 5 * time.Second,
		isSaved:     isTempoSaved,
		isLosing:    isTempoLosing,
		repair:      repairTempoLog,
		discards:    true,
		harmless:    []string{"unowned file entry ignored during wal replay"},
	}, opts)
	pusher, err := newOTLPPusher(otlpTarget{
		address: "tempo",
		dial:    dialUnix(e.layout.OTLPSocket),
		creds:   insecure.NewCredentials(),
	})
	if err != nil {
		e.err = errors.Join(e.err, err)
		return e
	}
	e.client.pusher = pusher
	return e
}

// isTempoSaved recognises the end of Tempo's ingester.
func isTempoSaved(rec logRecord) bool {
	if rec.msg != "module stopped" {
		return false
	}
	for _, attr := range rec.attrs {
		if attr.Key == "module" && attr.Value.String() == "ingester" {
			return true
		}
	}
	return false
}

// isTempoLosing recognises that Tempo could not write acknowledged spans to its
// log. It has taken them out of its memory by then, goes on to acknowledge more, and
// its writer fails until it is started again (modules/ingester/flush.go,
// cutOneInstanceToWal; tempodb/encoding/vparquet4/wal_block.go, Flush).
func isTempoLosing(rec logRecord) bool {
	return rec.msg == "failed to cut traces" || rec.msg == "failed to cut block"
}

// isLokiLosing recognises that Loki acknowledges what it did not write to its log,
// which it says once in a life (pkg/ingester/instance.go, Push).
func isLokiLosing(rec logRecord) bool {
	return strings.HasPrefix(rec.msg, "Error writing to WAL, disk full")
}

func newEmbedded(k kind, opts EmbeddedOptions) *Embedded {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Retention == 0 {
		opts.Retention = 14 * 24 * time.Hour
	}
	if opts.StopTimeout == 0 {
		opts.StopTimeout = k.stopTimeout
	}
	if opts.ReadyTimeout == 0 {
		opts.ReadyTimeout = 5 * time.Minute
	}
	if opts.backoff == 0 {
		opts.backoff = firstBackoff
	}
	e := &Embedded{kind: k, opts: opts, log: opts.Log.With("engine", k.name)}
	e.layout, e.err = newLayout(opts.DataDir)
	if opts.Retention < minRetention {
		e.err = errors.Join(e.err, fmt.Errorf("retention %v is less than a day", opts.Retention))
	}
	e.client = newClient(k.name, &url.URL{Scheme: "http", Host: k.name}, dialUnix(e.layout.HTTPFile))
	e.restarts = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "invoscope_engine_restarts_total",
		Help: "How often an engine had to be started again after it ended unexpectedly.",
	})
	e.current.Store(&incarnation{reason: errors.New("not started")})
	return e
}

func dialUnix(path string) dialFunc {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}

// RoundTrip implements [Engine].
func (e *Embedded) RoundTrip(req *http.Request) (*http.Response, error) {
	if !e.current.Load().ready {
		if req.Body != nil {
			req.Body.Close() // as every RoundTripper has to
		}
		return nil, fmt.Errorf("ask %s: %w", e.kind.name, ErrUnavailable)
	}
	return e.client.RoundTrip(req)
}

// Push implements [Engine].
func (e *Embedded) Push(ctx context.Context, tenant string, body []byte) error {
	if !e.current.Load().ready {
		return &PushError{Err: fmt.Errorf("%s: %w", e.kind.name, ErrUnavailable)}
	}
	return e.client.pusher.push(ctx, tenant, body)
}

// Ready implements [Engine]. Its error holds the child's last log lines when
// it died.
func (e *Embedded) Ready(ctx context.Context) error {
	if now := e.current.Load(); !now.ready {
		return fmt.Errorf("%s: %w: %w", e.kind.name, ErrUnavailable, now.reason)
	}
	return e.client.ready(ctx)
}

// Incarnation tells which life of the child this is, counted from 1, and since
// when it runs. It answers 0 while no child is alive, so equal numbers before
// and after mean that it was the same child all along.
func (e *Embedded) Incarnation() (generation uint64, started time.Time) {
	now := e.current.Load()
	if !now.alive {
		return 0, time.Time{}
	}
	return now.generation, now.started
}

// register adds the metrics and returns how to take them away again.
func (e *Embedded) register() (func(), error) {
	if e.opts.Registerer == nil {
		return func() {}, nil
	}
	reg := prometheus.WrapRegistererWith(prometheus.Labels{"engine": e.kind.name}, e.opts.Registerer)
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "invoscope_engine_up",
		Help: "Whether an engine that we run is ready (1) or not (0).",
	}, func() float64 {
		if e.current.Load().ready {
			return 1
		}
		return 0
	})
	all := []prometheus.Collector{up, e.restarts}
	if e.kind.discards {
		all = append(all, discards{e})
	}
	for _, metric := range all {
		if err := reg.Register(metric); err != nil {
			return nil, fmt.Errorf("register the metrics of %s: %w", e.kind.name, err)
		}
	}
	return func() {
		for _, metric := range all {
			reg.Unregister(metric)
		}
	}, nil
}
