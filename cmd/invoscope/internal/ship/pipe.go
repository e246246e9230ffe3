package ship

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// errGivenUp ends reading when delivering can't succeed any more.
var errGivenUp = errors.New("delivering was given up")

// readPipe reads r to its end. When ctx ends it goes on for patience, so that in
// "restate-server | invoscope ship" the last words of a server that got the
// same Ctrl-C are shipped too. A read that is blocked in r then stays behind
// until r brings something or is closed.
func readPipe(ctx context.Context, b *batcher, l *labeler, o Options) error {
	j := newJournal(l, o.Log, true)
	u := &unwrapper{format: o.Format, from: l.source(nil), joiner: joiner{add: b.add, wait: o.MultilineWait}, journal: j}
	defer func() { _ = u.end() }() // the batcher's end tells of an error
	end := make(chan error, 1)
	go func() { end <- readTokens(o.Stdin, u, func() {}) }()
	select {
	case err := <-end:
		return err
	case <-b.failed:
		return nil
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), errGivenUp) {
		return nil
	}
	timer := time.NewTimer(o.Grace / 2)
	defer timer.Stop()
	select {
	case err := <-end:
		return err
	case <-b.failed:
	case <-timer.C:
	}
	return nil
}

// readTokens reads r to its end, and calls after behind each token.
func readTokens(r io.Reader, u *unwrapper, after func()) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), maxRecord)
	scanner.Split(splitRecords(u.format, true))
	for scanner.Scan() {
		if u.token(scanner.Bytes()) != nil {
			return nil // the batcher's end tells why
		}
		after()
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	return nil
}
