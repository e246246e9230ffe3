package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"

	"github.com/invoscope/invoscope/correlate/index"
)

// separator ends the tenant's name in a key. No name has it.
const separator = 0

// storeKey is a tenant's key as Pebble has it.
func storeKey(tenant string, key []byte) []byte {
	b := make([]byte, 0, len(tenant)+1+len(key))
	b = append(b, tenant...)
	b = append(b, separator)
	return append(b, key...)
}

// Scan implements [index.Store].
func (s *Store) Scan(ctx context.Context, tenant string, r index.Range) ([][]byte, error) {
	bounds := &pebble.IterOptions{LowerBound: storeKey(tenant, r.From), UpperBound: storeKey(tenant, r.To)}
	return read(ctx, s, func(db *pebble.DB) (keys [][]byte, err error) {
		if r.Limit <= 0 || bytes.Compare(bounds.LowerBound, bounds.UpperBound) >= 0 {
			return nil, nil
		}
		it, err := db.NewIterWithContext(ctx, bounds)
		if err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
		defer func() { err = errors.Join(err, it.Close()) }()
		first, next := it.First, it.Next
		if r.Reverse {
			first, next = it.Last, it.Prev
		}
		for ok := first(); ok; ok = next() {
			keys = append(keys, bytes.Clone(it.Key()[len(tenant)+1:]))
			if len(keys) == r.Limit {
				break
			}
			if len(keys)%1024 == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		return keys, it.Error()
	})
}

// Tenants implements [index.Store].
func (s *Store) Tenants(ctx context.Context) ([]string, error) {
	return read(ctx, s, func(db *pebble.DB) (tenants []string, err error) {
		it, err := db.NewIterWithContext(ctx, nil)
		if err != nil {
			return nil, fmt.Errorf("list tenants: %w", err)
		}
		defer func() { err = errors.Join(err, it.Close()) }()
		for ok := it.First(); ok; {
			tenant, _, _ := bytes.Cut(it.Key(), []byte{separator})
			tenants = append(tenants, string(tenant))
			ok = it.SeekGE(append(bytes.Clone(tenant), separator+1))
		}
		return tenants, it.Error()
	})
}

// Bytes implements [index.Store]: the size of all files.
func (s *Store) Bytes(ctx context.Context) (int64, error) {
	return read(ctx, s, func(*pebble.DB) (int64, error) {
		names, err := s.fs.List(s.dir)
		if err != nil {
			return 0, fmt.Errorf("list files: %w", err)
		}
		var sum int64
		for _, name := range names {
			info, err := s.fs.Stat(s.fs.PathJoin(s.dir, name))
			switch {
			case err == nil:
				sum += info.Size()
			case !errors.Is(err, fs.ErrNotExist): // gone since
				return 0, fmt.Errorf("size of a file: %w", err)
			}
		}
		return sum, nil
	})
}
