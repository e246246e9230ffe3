package invocation

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/invoscope/invoscope/relay/fault"
)

// rank orders what happens at one time.
type rank int

const (
	rankStart rank = iota
	rankSpan
	rankLine
	rankEnd
)

// position is a place in a timeline: right after an event, or after all of a time
// (rankEnd). The zero value is the beginning.
type position struct {
	at   int64 // nanoseconds since 1970
	rank rank
	key  string // a span's ids or a line's identity
}

// compare orders positions, but for two lines of one time, whose order only Loki
// knows.
func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.at, q.at), cmp.Compare(p.rank, q.rank), strings.Compare(p.key, q.key))
}

const maxCursor = 256

// cursor is the position as a client sees it.
func (p position) cursor() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d.%s", p.at, p.rank, p.key))
}

// parseCursor reads what cursor wrote. An empty one is the beginning.
func parseCursor(text string) (p position, err error) {
	if text == "" {
		return p, nil
	}
	bad := fault.New(fault.Invalid, "the cursor is not one that a timeline returned")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	parts := strings.Split(string(raw), ".")
	if err != nil || len(text) > maxCursor || len(parts) != 3 {
		return p, bad
	}
	r, errRank := strconv.Atoi(parts[1])
	at, errAt := strconv.ParseInt(parts[0], 10, 64)
	if errRank != nil || errAt != nil || rank(r) <= rankStart || rank(r) > rankEnd || at < 0 {
		return p, bad
	}
	return position{at: at, rank: rank(r), key: parts[2]}, nil
}
