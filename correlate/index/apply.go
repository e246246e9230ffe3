package index

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/invoscope/invoscope/correlate"
)

const (
	// updateRecords bounds how many records are changed in one update of the store.
	updateRecords = 256
	// maxBucket bounds the records that share a start span's id. Two don't by chance;
	// ids that are made up may, and a bucket is read and written as a whole.
	maxBucket = 8
)

// Apply merges what a batch knows into the index. What it wrote is seen by reads
// at once, and is durable after [Index.Sync].
func (x *Index) Apply(ctx context.Context, tenant string, b *Batch) error {
	ids := slices.SortedFunc(maps.Keys(b.records), compareIDs)
	for part := range slices.Chunk(ids, updateRecords) {
		if err := x.apply(ctx, tenant, part, b.records); err != nil {
			return fmt.Errorf("update the invocation index: %w", err)
		}
	}
	return nil
}

func (x *Index) apply(ctx context.Context, tenant string, ids []correlate.InvocationID, learnt map[correlate.InvocationID]*Record) error {
	keys := make([][]byte, 0, len(ids))
	slot := map[SpanID]int{} // of the bucket in keys
	for _, id := range ids {
		ref := startSpan(id)
		if _, shared := slot[ref]; !shared {
			slot[ref] = len(keys)
			keys = append(keys, recordKey(ref))
		}
	}
	buckets := make([][]Record, len(keys))
	err := x.store.Update(ctx, tenant, keys, func(values [][]byte, w *Writes) error {
		for i, value := range values {
			var err error
			// A record that can't be read is started anew.
			if buckets[i], err = readBucket(SpanID(keys[i][1:]), value); err != nil {
				x.metrics.corrupt.Inc()
			}
		}
		for _, id := range ids {
			i := slot[startSpan(id)]
			buckets[i] = mergeInto(buckets[i], learnt[id], w)
		}
		for i, bucket := range buckets {
			if value := writeBucket(bucket); !bytes.Equal(value, values[i]) {
				w.Set = append(w.Set, KeyValue{keys[i], value})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	x.metrics.updates.Add(float64(len(ids)))
	for _, bucket := range buckets {
		for i := range bucket {
			key, trace := traceKey{tenant, bucket[i].ID}, bucket[i].runTrace()
			if trace.ID == (TraceID{}) {
				x.traces.Remove(key)
			} else {
				x.traces.Add(key, trace)
			}
		}
	}
	return nil
}

// mergeInto merges a record into its bucket, and writes what else changes by it. One
// for which the bucket has no room isn't learnt.
func mergeInto(bucket []Record, learnt *Record, w *Writes) []Record {
	var r *Record
	for i := range bucket {
		if bucket[i].ID == learnt.ID {
			r = &bucket[i]
		}
	}
	var oldList, oldCallers [][]byte
	var oldAttempts []SpanID
	if r == nil {
		if len(bucket) >= maxBucket {
			return bucket
		}
		bucket = append(bucket, Record{ID: learnt.ID})
		r = &bucket[len(bucket)-1]
	} else {
		oldList, oldCallers = listKeys(r), callerKeys(r)
		oldAttempts = slices.Clone(r.Attempts)
	}
	r.Merge(learnt)
	replaceKeys(w, oldList, listKeys(r))
	replaceKeys(w, oldCallers, callerKeys(r))
	replaceAttempts(w, oldAttempts, r)
	return bucket
}

// replaceAttempts writes which record attempts belong to, and forgets those for which
// others took the place.
func replaceAttempts(w *Writes, before []SpanID, r *Record) {
	ref := startSpan(r.ID)
	now := r.Attempts
	for len(before) > 0 || len(now) > 0 { // both in ascending order
		switch c := compareHeads(before, now); {
		case c == 0:
			before, now = before[1:], now[1:]
		case c < 0:
			w.Delete = append(w.Delete, attemptKey(before[0]))
			before = before[1:]
		default:
			w.Set = append(w.Set, KeyValue{attemptKey(now[0]), ref[:]})
			now = now[1:]
		}
	}
}

// compareHeads compares the first of two lists; an empty list's would be greater.
func compareHeads(a, b []SpanID) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return compareSpans(a[0], b[0])
}

func replaceKeys(w *Writes, before, after [][]byte) {
	for _, key := range before {
		if !contains(after, key) {
			w.Delete = append(w.Delete, key)
		}
	}
	for _, key := range after {
		if !contains(before, key) {
			w.Set = append(w.Set, KeyValue{Key: key})
		}
	}
}

func contains(keys [][]byte, key []byte) bool { return place(keys, key) >= 0 }

func place(keys [][]byte, key []byte) int {
	return slices.IndexFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
}
