package pebblestore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// obsoleteInterval is how often Compact looks whether what it made obsolete is gone.
const obsoleteInterval = 10 * time.Millisecond

// Compact implements [index.Store]. It goes from table to table of the lowest level,
// and needs as much room as some tables; Close ends it.
func (s *Store) Compact(ctx context.Context) error {
	return s.write(ctx, func(db *pebble.DB) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		go func() {
			select {
			case <-s.stopping:
				cancel(errClosed)
			case <-ctx.Done():
			}
		}()
		if err := compact(ctx, db); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("compact: %w", err)
		}
		return nil
	}, func() {})
}

func compact(ctx context.Context, db *pebble.DB) error {
	levels, err := db.SSTables()
	if err != nil {
		return err
	}
	cuts := [][]byte{{0}}
	for _, table := range levels[len(levels)-1] {
		cuts = append(cuts, bytes.Clone(table.Smallest.UserKey))
	}
	cuts = append(cuts, []byte{0xff}) // no tenant's name begins with it
	slices.SortFunc(cuts, bytes.Compare)
	for i, from := range cuts[:len(cuts)-1] {
		if err := db.Compact(ctx, from, cuts[i+1], false); err != nil {
			return err
		}
	}
	tick := time.NewTicker(obsoleteInterval)
	defer tick.Stop()
	for db.Metrics().Table.Local.ObsoleteSize > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
