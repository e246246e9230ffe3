package ship

import (
	"context"
	"fmt"
	"io"
	"time"
)

// progress rewrites one line of a terminal every second until ctx ends. It
// leaves the cursor at the line's start, so that a message that comes in
// between overwrites it instead of being appended.
func progress(ctx context.Context, w io.Writer, b *buffer) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer fmt.Fprint(w, clearLine)
	for before := (counts{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c := b.counts()
		fmt.Fprintf(w, "%s%d entries shipped, %d entries/s, %.1f MB/s, %d waiting\r", clearLine,
			c.acked, c.acked-before.acked, float64(c.ackedBytes-before.ackedBytes)/1e6, c.waiting())
		before = c
	}
}

// clearLine empties the terminal's current line.
const clearLine = "\r\x1b[K"
