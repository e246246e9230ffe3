package index

import "context"

// Store is an ordered map of bytes, of one tenant at a time. A key is 1 to 1024 bytes
// and its first byte says which family it is of: keys of lower-case families are
// only read by Get and Update, have a value, and needn't be kept in order; those of
// upper-case ones are only read by Scan and have no value.
//
// Slices that a store returns are the caller's. A store that was closed, or can't go
// on, returns errors. All implementations pass the suite in indextest.
type Store interface {
	// Update reads keys, hands their values to change (nil for those that aren't
	// there) and applies what it writes, all at once: no other Update of these keys
	// comes between, and no read sees a part. An error of change is returned and
	// nothing written. change may be called again when another Update came between.
	// What was written is seen by reads at once and survives the process once Sync
	// returned.
	Update(ctx context.Context, tenant string, keys [][]byte, change func(values [][]byte, w *Writes) error) error
	// Get returns the value of a key, or nil. An empty value isn't nil.
	Get(ctx context.Context, tenant string, key []byte) ([]byte, error)
	// Scan returns the keys of a range.
	Scan(ctx context.Context, tenant string, r Range) ([][]byte, error)
	// Tenants returns the tenants that have keys, by name, and perhaps some that had.
	Tenants(ctx context.Context) ([]string, error)
	// Sync returns once all that was written survives a loss of power, or as much of
	// it as the store promises.
	Sync(ctx context.Context) error
	// Bytes is how much room the store takes, on disk or in memory. What deletes free
	// may show only after Compact.
	Bytes(ctx context.Context) (int64, error)
	// Compact gives back the room of what was deleted. It may take minutes, while the
	// store is used as ever.
	Compact(ctx context.Context) error
	Close() error
}

// Range is at most Limit keys k with From <= k < To, in ascending order, or in descending
// order if Reverse is set. From and To are of the same family; To may also be the byte
// after the family's.
type Range struct {
	From, To []byte
	Limit    int
	Reverse  bool
}

// Writes is what an update does. A key that is both deleted and set is set. It keeps
// the slices it is given.
type Writes struct {
	Set    []KeyValue
	Delete [][]byte
}

// KeyValue is a key and its value, which is empty in an upper-case family.
type KeyValue struct{ Key, Value []byte }
