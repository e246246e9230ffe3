package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Options says which Redis to use.
type Options struct {
	// URL is redis(s)://[user:password@]host[:port][/db], with go-redis's parameters. Any
	// node of a cluster will do.
	URL        string
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

const (
	// timeout bounds connecting, each command, and waiting for a connection, unless
	// the URL says otherwise.
	timeout = 5 * time.Second
	// connections bounds those to a node, unless the URL says otherwise.
	connections = 16
	// oldest is the first version with ZRANGE BYLEX.
	oldest = "6.2"
)

var errClosed = errors.New("the index in Redis is closed")

// errURL doesn't wrap what the parser says, which may quote the password.
var errURL = errors.New("the URL isn't redis(s)://[user:password@]host[:port][/db]")

// Open connects to a Redis, which must answer.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{
		named: map[string]time.Time{},
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "invoscope_redisstore_conflicts_total",
			Help: "Updates of the index that began anew because another replica wrote the same.",
		}),
	}
	setLogger.Do(func() { redis.SetLogger(logger{o.Log}) })
	client, err := connect(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("open the index in Redis: %w", err)
	}
	if err := o.Registerer.Register(s.conflicts); err != nil {
		return nil, errors.Join(fmt.Errorf("register metrics: %w", err), client.Close())
	}
	s.client = client
	s.unregister = func() { o.Registerer.Unregister(s.conflicts) }
	return s, nil
}

func connect(ctx context.Context, o Options) (redis.UniversalClient, error) {
	options, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, errURL
	}
	set(&options.DialerRetries, 1)
	set(&options.DialTimeout, timeout)
	set(&options.ReadTimeout, timeout)
	set(&options.WriteTimeout, timeout)
	set(&options.PoolTimeout, timeout)
	set(&options.PoolSize, connections)
	options.ContextTimeoutEnabled = true
	options.Protocol = 2           // all that is needed, and spoken by proxies too
	options.DisableIdentity = true // a command that an ACL may forbid
	client := redis.NewClient(options)
	info, err := readInfo(ctx, client)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	if err := info.check(o.Log); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	if info["cluster_enabled"] != "1" {
		return client, nil
	}
	if err := client.Close(); err != nil {
		return nil, fmt.Errorf("close the first connection: %w", err)
	}
	return redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:    []string{options.Addr},
		Username: options.Username, Password: options.Password, TLSConfig: options.TLSConfig,
		DialTimeout: options.DialTimeout, ReadTimeout: options.ReadTimeout, WriteTimeout: options.WriteTimeout,
		PoolTimeout: options.PoolTimeout, PoolSize: options.PoolSize, DialerRetries: options.DialerRetries,
		ContextTimeoutEnabled: true, Protocol: options.Protocol, DisableIdentity: true,
	}), nil
}

// set gives an option a value if it has none.
func set[T comparable](option *T, value T) {
	var zero T
	if *option == zero {
		*option = value
	}
}

// info is what a server says of itself: the lines of INFO.
type info map[string]string

func readInfo(ctx context.Context, client redis.Cmdable) (info, error) {
	text, err := client.Info(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("ask the server for its INFO: %w", err)
	}
	in := info{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			in[name] = value
		}
	}
	return in, nil
}

func (in info) check(log *slog.Logger) error {
	version := in["redis_version"]
	if olderThan(version, oldest) {
		return fmt.Errorf("the server is version %q, want %s or newer", version, oldest)
	}
	if policy := in["maxmemory_policy"]; policy != "noeviction" && in["maxmemory"] != "0" {
		log.Warn("Redis may evict parts of the index; set maxmemory-policy to noeviction", "policy", policy)
	}
	return nil
}

// olderThan compares versions by their first two numbers.
func olderThan(version, than string) bool {
	for {
		var a, b string
		a, version, _ = strings.Cut(version, ".")
		b, than, _ = strings.Cut(than, ".")
		m, err := strconv.Atoi(a)
		n, _ := strconv.Atoi(b)
		if err != nil || m != n {
			return m < n
		}
		if than == "" {
			return false
		}
	}
}

// Sync implements [index.Store]: it returns once the server answers, which has
// acknowledged all that was written before. When that is on a disk is up to the
// server (appendfsync).
func (s *Store) Sync(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if err := s.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// Compact implements [index.Store]; Redis gives room back by itself.
func (s *Store) Compact(ctx context.Context) error { return s.Sync(ctx) }

// Bytes implements [index.Store]: the memory that the server uses, or all masters
// of a cluster, also for other things than the index. It takes one command each.
func (s *Store) Bytes(ctx context.Context) (int64, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return usedMemory(ctx, s.client)
	}
	var mu sync.Mutex
	var sum int64
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		n, err := usedMemory(ctx, master)
		mu.Lock()
		defer mu.Unlock()
		sum += n
		return err
	})
	return sum, err
}

func usedMemory(ctx context.Context, client redis.Cmdable) (int64, error) {
	in, err := readInfo(ctx, client)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(in["used_memory"], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read used_memory: %w", err)
	}
	return n, nil
}

// Close implements [index.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.unregister()
	return s.client.Close()
}

// setLogger is for the one logger that go-redis has. What it says comes as an error
// too.
var setLogger sync.Once

type logger struct{ *slog.Logger }

func (l logger) Printf(ctx context.Context, format string, args ...any) {
	if l.Enabled(ctx, slog.LevelDebug) {
		l.DebugContext(ctx, fmt.Sprintf(format, args...))
	}
}
