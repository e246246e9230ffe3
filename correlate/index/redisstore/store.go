package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/invoscope/invoscope/correlate/index"
)

const (
	// updateTries bounds how often an update begins anew because another wrote one of
	// its keys. Each time one of them succeeds, so that many writers of one key all
	// come through.
	updateTries = 64
	// readTries bounds how often the reads of an update are tried on a new connection.
	readTries = 3
	// firstWait and lastWait are how long the first and the last tries are apart.
	firstWait = time.Millisecond
	lastWait  = 50 * time.Millisecond
	// nameInterval is how often a tenant that is written to is named again, lest a
	// server that lost everything never hears of it.
	nameInterval = time.Minute

	tenantsKey = "invoscope:tenants"
)

// Store keeps the index in Redis.
type Store struct {
	client     redis.UniversalClient
	conflicts  prometheus.Counter
	unregister func()

	mu     sync.Mutex
	closed bool
	named  map[string]time.Time // tenants, and when they were last put into tenantsKey
}

var _ index.Store = (*Store)(nil)

func prefix(tenant string) string { return "invoscope:{" + tenant + "}:" }

// isOrdered reports whether a key is of a family that is kept in order.
func isOrdered(key []byte) bool { return key[0] >= 'A' && key[0] <= 'Z' }

func names(tenant string, keys [][]byte) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = prefix(tenant) + string(k)
	}
	return names
}

// Update implements [index.Store]. It watches the keys it reads, and begins anew
// when one of them was written before it could write. One that returns an error of
// the connection may yet have been applied.
func (s *Store) Update(ctx context.Context, tenant string, keys [][]byte, change func(values [][]byte, w *index.Writes) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if err := s.name(ctx, tenant); err != nil {
		return err
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.RandomizationFactor = firstWait, lastWait, 0.9
	reads := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		u := update{tenant: tenant, names: names(tenant, keys), change: change}
		err := u.run(ctx, s.client)
		switch {
		case errors.Is(err, redis.TxFailedErr):
			s.conflicts.Inc()
			return struct{}{}, err
		case err != nil && u.reading && ctx.Err() == nil && reads < readTries:
			reads++
			return struct{}{}, err
		case err != nil:
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, nil
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(updateTries))
	if errors.Is(err, redis.TxFailedErr) {
		return fmt.Errorf("update: others wrote the same keys %d times: %w", updateTries, err)
	}
	return err
}

// update is one try of an update.
type update struct {
	tenant  string
	names   []string // of the keys it reads
	change  func(values [][]byte, w *index.Writes) error
	reading bool // it hasn't come further than that
}

func (u *update) run(ctx context.Context, client redis.UniversalClient) error {
	if len(u.names) == 0 {
		w := &index.Writes{}
		if err := u.change(nil, w); err != nil {
			return err
		}
		return u.write(ctx, client, w)
	}
	u.reading = true
	err := client.Watch(ctx, func(tx *redis.Tx) error {
		values, err := readAll(ctx, tx, u.names)
		if err != nil {
			return err
		}
		u.reading = false
		w := &index.Writes{}
		if err := u.change(values, w); err != nil {
			return err
		}
		return u.write(ctx, tx, w)
	}, u.names...)
	if err != nil && u.reading {
		return fmt.Errorf("read the keys of an update: %w", err)
	}
	return err
}

func readAll(ctx context.Context, tx *redis.Tx, names []string) ([][]byte, error) {
	found, err := tx.MGet(ctx, names...).Result()
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(found))
	for i, v := range found {
		if text, ok := v.(string); ok {
			values[i] = []byte(text)
		}
	}
	return values, nil
}

// write does all of w at once, if none of the keys that were watched was written.
func (u *update) write(ctx context.Context, client interface {
	TxPipelined(ctx context.Context, fn func(redis.Pipeliner) error) ([]redis.Cmder, error)
}, w *index.Writes,
) error {
	if len(w.Set)+len(w.Delete) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	commands, err := client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		queue(ctx, p, u.tenant, w)
		return nil
	})
	if err == nil || errors.Is(err, redis.TxFailedErr) {
		return err
	}
	for _, c := range commands { // the first that was refused says why all were
		if c.Err() != nil && !redis.IsExecAbortError(c.Err()) {
			err = c.Err()
			break
		}
	}
	return fmt.Errorf("write an update: %w", err)
}

// queue adds the commands of w, few with many keys each: first deletes, then sets.
func queue(ctx context.Context, p redis.Pipeliner, tenant string, w *index.Writes) {
	var gone []string
	members := map[byte][]any{}
	for _, k := range w.Delete {
		if isOrdered(k) {
			members[k[0]] = append(members[k[0]], k[1:])
		} else {
			gone = append(gone, prefix(tenant)+string(k))
		}
	}
	if len(gone) > 0 {
		p.Del(ctx, gone...)
	}
	for family, m := range members {
		p.ZRem(ctx, prefix(tenant)+string(family), m...)
	}
	var set []any
	added := map[byte][]redis.Z{}
	for _, kv := range w.Set {
		if isOrdered(kv.Key) {
			added[kv.Key[0]] = append(added[kv.Key[0]], redis.Z{Member: kv.Key[1:]})
		} else {
			set = append(set, prefix(tenant)+string(kv.Key), kv.Value)
		}
	}
	if len(set) > 0 {
		p.MSet(ctx, set...)
	}
	for family, z := range added {
		p.ZAdd(ctx, prefix(tenant)+string(family), z...)
	}
}

// name adds a tenant to those that Tenants returns, before its first key is written.
func (s *Store) name(ctx context.Context, tenant string) error {
	now := time.Now()
	s.mu.Lock()
	last, ok := s.named[tenant]
	s.mu.Unlock()
	if ok && now.Sub(last) < nameInterval {
		return nil
	}
	if err := s.client.SAdd(ctx, tenantsKey, tenant).Err(); err != nil {
		return fmt.Errorf("name a tenant: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.named[tenant] = now
	return nil
}

// usable returns why nothing can be asked: ctx ended, or the store was closed.
func (s *Store) usable(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	return ctx.Err()
}

// Get implements [index.Store].
func (s *Store) Get(ctx context.Context, tenant string, key []byte) ([]byte, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	value, err := s.client.Get(ctx, prefix(tenant)+string(key)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	return value, nil
}

// Scan implements [index.Store].
func (s *Store) Scan(ctx context.Context, tenant string, r index.Range) ([][]byte, error) {
	if err := s.usable(ctx); err != nil || r.Limit <= 0 {
		return nil, err
	}
	family := r.From[:1]
	start, stop := "["+string(r.From[1:]), "+" // the family's end
	if r.To[0] == family[0] {
		stop = "(" + string(r.To[1:])
	}
	if r.Reverse {
		start, stop = stop, start
	}
	members, err := s.client.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key:   prefix(tenant) + string(family),
		Start: start, Stop: stop, ByLex: true, Rev: r.Reverse, Count: int64(r.Limit),
	}).Result()
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	keys := make([][]byte, len(members))
	for i, m := range members {
		keys[i] = append(append(make([]byte, 0, 1+len(m)), family...), m...)
	}
	return keys, nil
}

// Tenants implements [index.Store].
func (s *Store) Tenants(ctx context.Context) ([]string, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	tenants, err := s.client.SMembers(ctx, tenantsKey).Result()
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	slices.Sort(tenants)
	return tenants, nil
}
