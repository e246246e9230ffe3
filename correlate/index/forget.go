package index

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	// maintainEvery is how often what is too old is looked for.
	maintainEvery = time.Minute
	// maxPasses bounds how often in a row the oldest are forgotten because the
	// store is too large: it may need a while to give room back.
	maxPasses = 16
	minPart   = 1.0 / 16 // of the time that the index covers, forgotten at once
)

// Run forgets what is too old or too much until ctx ends.
func (x *Index) Run(ctx context.Context) error {
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	for {
		if err := x.Maintain(ctx); err != nil && ctx.Err() == nil {
			x.opts.Log.Warn("the invocation index was not maintained", "err", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Maintain forgets the invocations that were last seen before their tenant's
// retention, and then the oldest of all tenants while the store is too large.
func (x *Index) Maintain(ctx context.Context) error {
	tenants, err := x.store.Tenants(ctx)
	if err != nil {
		return fmt.Errorf("list the index's tenants: %w", err)
	}
	var errs []error
	for _, tenant := range tenants {
		_, err := x.forget(ctx, tenant, x.opts.Now().Add(-x.opts.Retention(tenant)).UnixNano(), "age")
		errs = append(errs, err)
	}
	errs = append(errs, x.shrink(ctx, tenants))
	return errors.Join(errs...)
}

// shrink forgets the oldest part of the time that the index covers: half as
// large a part as the store is too large by, again and again. What has been known for
// long and was seen since stays, and doesn't count as a part of that time.
func (x *Index) shrink(ctx context.Context, tenants []string) error {
	x.metrics.limit.Set(float64(x.opts.MaxBytes))
	from := int64(0)
	for passes := 0; passes < maxPasses; {
		size, err := x.store.Bytes(ctx)
		if err != nil {
			return fmt.Errorf("measure the index: %w", err)
		}
		x.metrics.bytes.Set(float64(size))
		if x.opts.MaxBytes == 0 || size <= x.opts.MaxBytes {
			return nil
		}
		now := x.opts.Now().UnixNano()
		oldest, err := x.oldest(ctx, tenants, from)
		if err != nil || oldest >= now {
			return err
		}
		part := max(float64(size-x.opts.MaxBytes)/float64(size)/2, minPart)
		from = oldest + max(int64(float64(now-oldest)*part), int64(time.Millisecond))
		n, err := x.forgetOldest(ctx, tenants, from, size)
		if err != nil {
			return err
		}
		if n == 0 {
			continue // as long as there is a later part of the time
		}
		passes++
		if err := x.store.Compact(ctx); err != nil {
			return fmt.Errorf("compact the index: %w", err)
		}
	}
	return nil
}

// forgetOldest makes room in a store of a size.
func (x *Index) forgetOldest(ctx context.Context, tenants []string, before, size int64) (int, error) {
	all := 0
	for _, tenant := range tenants {
		n, err := x.forget(ctx, tenant, before, "size")
		if err != nil {
			return all, err
		}
		if n > 0 {
			x.opts.Log.Warn("the invocation index is full: the oldest invocations are forgotten",
				"tenant", tenant, "invocations", n, "size_bytes", size, "max_size_bytes", x.opts.MaxBytes)
		}
		all += n
	}
	return all, nil
}

// oldest is the earliest FirstSeen in the index that isn't before from, in nanoseconds
// since 1970.
func (x *Index) oldest(ctx context.Context, tenants []string, from int64) (int64, error) {
	first := int64(math.MaxInt64)
	var begin [timeLen]byte
	putMillis(begin[:], from)
	for _, tenant := range tenants {
		for o := range outcomes {
			prefix := outcomePrefix(o)
			keys, err := x.store.Scan(ctx, tenant, Range{From: append(bytes.Clone(prefix), begin[:]...), To: after(prefix), Limit: 1})
			if err != nil {
				return 0, fmt.Errorf("read the invocation index: %w", err)
			}
			for _, key := range keys {
				first = min(first, timeOf(key[len(prefix):]))
			}
		}
	}
	return first, nil
}

// forget deletes the invocations that were last seen before a time, and returns
// how many.
func (x *Index) forget(ctx context.Context, tenant string, before int64, reason string) (int, error) {
	n := 0
	for o := range outcomes {
		prefix := outcomePrefix(o)
		var end [timeLen]byte
		putMillis(end[:], before)
		from, to := prefix, append(bytes.Clone(prefix), end[:]...)
		for {
			keys, err := x.store.Scan(ctx, tenant, Range{From: from, To: to, Limit: updateRecords})
			if err != nil {
				return n, fmt.Errorf("read the invocation index: %w", err)
			}
			if len(keys) == 0 {
				break
			}
			from = append(bytes.Clone(keys[len(keys)-1]), 0)
			gone, err := x.drop(ctx, tenant, keys, before)
			if err != nil {
				return n, err
			}
			n += gone
			x.metrics.forgotten.WithLabelValues(reason).Add(float64(gone))
		}
	}
	return n, nil
}

// drop deletes the records that listed names, if they were last seen before a time.
func (x *Index) drop(ctx context.Context, tenant string, listed [][]byte, before int64) (int, error) {
	var keys [][]byte
	for _, key := range listed {
		if record := recordKey(SpanID(key[len(key)-refLen:])); !contains(keys, record) {
			keys = append(keys, record)
		}
	}
	dropped := 0
	err := x.store.Update(ctx, tenant, keys, func(values [][]byte, w *Writes) error {
		dropped = 0
		for _, key := range listed {
			// A store that others may take keys from lists what isn't there.
			if i := place(keys, recordKey(SpanID(key[len(key)-refLen:]))); values[i] == nil {
				w.Delete = append(w.Delete, key)
			}
		}
		for i, value := range values {
			bucket, err := readBucket(SpanID(keys[i][1:]), value)
			if err != nil {
				w.Delete = append(w.Delete, keys[i])
				continue
			}
			var kept []Record
			for j := range bucket {
				if r := &bucket[j]; r.LastSeen >= before {
					kept = append(kept, *r)
				} else {
					dropped++
					x.traces.Remove(traceKey{tenant, r.ID})
					w.Delete = append(w.Delete, r.ownKeys()...)
				}
			}
			switch {
			case len(kept) == len(bucket):
			case len(kept) == 0:
				w.Delete = append(w.Delete, keys[i])
			default:
				w.Set = append(w.Set, KeyValue{keys[i], writeBucket(kept)})
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("forget invocations: %w", err)
	}
	return dropped, nil
}

// ownKeys are all keys of a record but that of its bucket.
func (r *Record) ownKeys() [][]byte {
	keys := append(listKeys(r), callerKeys(r)...)
	for _, span := range r.Attempts {
		keys = append(keys, attemptKey(span))
	}
	return keys
}
