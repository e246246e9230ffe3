package ship

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"
)

// readAll reads r to its end. When ctx ends it goes on for patience, so that in
// "restate-server | invoscope ship" the last words of a server that got the
// same Ctrl-C are shipped too. A read that is blocked in r then stays behind
// until r brings something or is closed.
func readAll(ctx context.Context, r io.Reader, q *queue, patience time.Duration) error {
	end := make(chan error, 1)
	go func() { end <- readLines(r, q) }()
	select {
	case err := <-end:
		return err
	case <-q.failed:
		return nil
	case <-ctx.Done():
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-end:
		return err
	case <-q.failed:
	case <-timer.C:
	}
	return nil
}

func readLines(r io.Reader, q *queue) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), maxLineBuffer)
	scanner.Split(splitLines(true))
	stdin := newStdin()
	for n := int64(1); scanner.Scan(); n++ {
		if q.add(scanner.Bytes(), origin{stdin, n}) != nil {
			return nil // the queue's end tells why
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("read %s: %w", stdin.name, err)
	}
	return nil
}
