//go:build integration

package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/correlate/index/indextest"
)

func placeOn(program string) indextest.Place {
	return func(t *testing.T) func() (index.Store, error) {
		s := start(t, program)
		return func() (index.Store, error) { return open(t.Context(), "redis://"+s.address) }
	}
}

func TestStore(t *testing.T) {
	for _, program := range programs(t) {
		t.Run(program, func(t *testing.T) { indextest.Run(t, placeOn(program)) })
	}
}

func TestReplicas(t *testing.T) {
	for _, program := range programs(t) {
		t.Run(program, func(t *testing.T) { indextest.RunShared(t, placeOn(program)) })
	}
}

// startCluster starts a cluster of one node.
func startCluster(t *testing.T, program string) *server {
	t.Helper()
	// The bus listens on a port of its own, by default 10000 higher.
	_, bus, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--cluster-enabled", "yes", "--cluster-port", bus}
	s := start(t, program, args...)
	client := redis.NewClient(&redis.Options{Addr: s.address})
	defer func() { _ = client.Close() }()
	if err := client.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C { // until the node knows that nothing is missing
		state, err := client.ClusterInfo(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(state, "cluster_state:ok") {
			return s
		}
	}
}

func TestCluster(t *testing.T) {
	place := func(t *testing.T) func() (index.Store, error) {
		s := startCluster(t, "redis-server")
		return func() (index.Store, error) { return open(t.Context(), "redis://"+s.address) }
	}
	programs(t)
	indextest.Run(t, place)
}

func TestOpenRefuses(t *testing.T) {
	programs(t)
	s := start(t, "redis-server", "--requirepass", "hunter2")
	for _, c := range []struct{ name, url string }{
		{"no scheme", "hunter3@" + s.address},
		{"a bad port", "redis://:hunter3@127.0.0.1:port"},
		{"a bad escape", "redis://:hunter3%zz@127.0.0.1:1"},
		{"a bad parameter", "redis://:hunter3@" + s.address + "?hunter3=hunter3"},
		{"a wrong password", "redis://:hunter3@" + s.address},
		{"no password", "redis://" + s.address},
		{"nobody there", "redis://:hunter3@" + freeAddress(t)},
		{"TLS where there is none", "rediss://:hunter3@" + s.address},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			_, err := Open(t.Context(), Options{URL: c.url, Log: slog.New(slog.NewTextHandler(&log, nil)), Registerer: prometheus.NewRegistry()})
			if err == nil {
				t.Fatal("was opened")
			}
			if text := err.Error() + log.String(); strings.Contains(text, "hunter") {
				t.Errorf("the password is in %q", text)
			}
		})
	}
	store, err := open(t.Context(), "redis://:hunter2@"+s.address+"/3")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWarnsOfEviction(t *testing.T) {
	programs(t)
	for policy, want := range map[string]bool{"allkeys-lru": true, "noeviction": false} {
		s := start(t, "redis-server", "--maxmemory", "100mb", "--maxmemory-policy", policy)
		var log bytes.Buffer
		store, err := Open(t.Context(), Options{URL: "redis://" + s.address, Log: slog.New(slog.NewTextHandler(&log, nil)), Registerer: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "maxmemory-policy"); got != want {
			t.Errorf("%s: log is %q", policy, &log)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func put(ctx context.Context, s *Store, key, value string) error {
	return s.Update(ctx, "a", [][]byte{[]byte(key)}, func(_ [][]byte, w *index.Writes) error {
		w.Set = []index.KeyValue{{Key: []byte(key), Value: []byte(value)}, {Key: []byte("T" + key)}}
		return nil
	})
}

// TestFullMemory fills a server: updates fail whole, reads go on.
func TestFullMemory(t *testing.T) {
	programs(t)
	server := start(t, "redis-server", "--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
	s, err := open(t.Context(), "redis://"+server.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	value := strings.Repeat("v", 10000)
	n := 0
	for ; err == nil; n++ {
		err = put(t.Context(), s, fmt.Sprintf("r%04d", n), value)
	}
	if !strings.Contains(err.Error(), "OOM") {
		t.Errorf("update of a full server: got %v", err)
	}
	keys, err := s.Scan(t.Context(), "a", index.Range{From: []byte("T"), To: []byte("U"), Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != n-1 {
		t.Errorf("%d keys are there after %d updates and one that failed", len(keys), n-1)
	}
}

// TestServerGone kills the server, and starts another at its address.
func TestServerGone(t *testing.T) {
	programs(t)
	server := start(t, "redis-server")
	s, err := open(t.Context(), "redis://"+server.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := put(t.Context(), s, "r1", "one"); err != nil {
		t.Fatal(err)
	}
	server.kill()
	if err := put(t.Context(), s, "r1", "two"); err == nil {
		t.Error("an update was taken by a server that is gone")
	}
	if _, err := s.Get(t.Context(), "a", []byte("r1")); err == nil {
		t.Error("a get was answered by a server that is gone")
	}
	if startAt(t, server.address, "redis-server") == nil {
		t.Fatal("another process took the server's port")
	}
	for put(t.Context(), s, "r1", "three") != nil { // until it is tried to connect again
	}
}

// TestConflict has another replica write between an update's read and its write.
func TestConflict(t *testing.T) {
	programs(t)
	server := start(t, "redis-server")
	one, err1 := open(t.Context(), "redis://"+server.address)
	other, err2 := open(t.Context(), "redis://"+server.address)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(one.Close(), other.Close()) }()
	var seen []string
	err := one.Update(t.Context(), "a", [][]byte{[]byte("r1")}, func(values [][]byte, w *index.Writes) error {
		seen = append(seen, string(values[0]))
		if len(seen) == 1 {
			if err := put(t.Context(), other, "r1", "meanwhile"); err != nil {
				return err
			}
		}
		w.Set = []index.KeyValue{{Key: []byte("r1"), Value: append(values[0], " and after"...)}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	value, err := other.Get(t.Context(), "a", []byte("r1"))
	if err != nil || string(value) != "meanwhile and after" || len(seen) != 2 {
		t.Errorf("got %q, %v, after change saw %q", value, err, seen)
	}
	if got := testutil.ToFloat64(one.conflicts); got != 1 {
		t.Errorf("%v conflicts were counted", got)
	}
}
