package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// lines reads NDJSON.
type lines struct{ scanner *bufio.Scanner }

func newLines(r io.Reader) lines {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxEvent)
	return lines{s}
}

// next returns the next line that isn't empty, or io.EOF. It is valid until next
// is called again. Empty lines keep a quiet stream alive.
func (l lines) next() ([]byte, error) {
	for l.scanner.Scan() {
		if line := bytes.TrimSpace(l.scanner.Bytes()); len(line) > 0 {
			return line, nil
		}
	}
	if err := l.scanner.Err(); err != nil {
		return nil, fmt.Errorf("read a line: %w", err)
	}
	return nil, io.EOF
}
