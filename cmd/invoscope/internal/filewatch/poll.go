package filewatch

import (
	"context"
	"time"
)

const (
	// Interval is how often [Poll] looks.
	Interval = 250 * time.Millisecond
	// patience is how many looks in a row may each find another change before
	// somebody is told all the same.
	patience = 2
)

// Poll calls changed when files that current returns have changed, until ctx ends.
//
// It waits until a look finds nothing new, for what is written in place, or as several
// files, to be whole; but not longer than three looks. A reader that looks anew before
// it reads can't miss a second change for the coarse clock of a file system: the first
// is an [Interval] old by then.
func Poll(ctx context.Context, current func() Files, changed func(paths []string)) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	var settling Files
	unsettled := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		known := current()
		now := Look(known.Paths()...)
		paths := now.differ(known)
		switch {
		case len(paths) == 0:
			unsettled = 0
		case unsettled == 0 || unsettled < patience && len(now.differ(settling)) > 0:
			settling = now
			unsettled++
		default:
			unsettled = 0
			changed(paths)
		}
	}
}
