package index

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Query selects invocations of a tenant. The zero value selects all.
type Query struct {
	From, To  time.Time // of FirstSeen, both inclusive, in milliseconds; zero is open
	Target    string    // exactly
	Outcomes  []Outcome // any of them; none means all
	ErrorCode string    // Restate's, or the error's status
	Text      string    // part of the id
	// Limit bounds the records returned; 0 means 100, at most 1000.
	Limit int
	// Cursor continues a listing: the Next of the page before.
	Cursor string
}

// Page is a part of a listing, the latest FirstSeen first.
type Page struct {
	Records []Record
	// Next is empty at the end. A page may have fewer records than the limit, or
	// none, and still have a next.
	Next string
}

// ErrCursor means that a cursor isn't one that List returned.
var ErrCursor = errors.New("the cursor is not one of this listing")

const (
	defaultLimit = 100
	maxLimit     = 1000
	// maxExamined bounds what one page costs when few records match.
	maxExamined = 10000
	scanKeys    = 256 // keys read at once
)

// List implements [Reader].
func (x *Index) List(ctx context.Context, tenant string, q Query) (Page, error) {
	limit := min(max(q.Limit, 0), maxLimit)
	if limit == 0 {
		limit = defaultLimit
	}
	q.Target = cut(q.Target)
	ranges, err := x.ranges(tenant, q)
	if err != nil {
		return Page{}, err
	}
	var page Page
	for examined := 0; ; examined++ {
		at, ok, err := nextSpot(ctx, ranges)
		switch {
		case err != nil:
			return Page{}, fmt.Errorf("list the invocation index: %w", err)
		case !ok:
			return page, nil
		}
		bucket, err := x.bucket(ctx, tenant, at.ref())
		if err != nil {
			return Page{}, err
		}
		for i := range bucket {
			if r := &bucket[i]; spotOf(r) == at && q.matches(r) {
				page.Records = append(page.Records, *r)
			}
		}
		if len(page.Records) >= limit || examined == maxExamined {
			page.Next = base64.RawURLEncoding.EncodeToString(at[:])
			return page, nil
		}
	}
}

// matches checks all of q but the cursor: since the keys were read, the record may
// have got another outcome.
func (q *Query) matches(r *Record) bool {
	return (q.Target == "" || r.Target == q.Target) &&
		(len(q.Outcomes) == 0 || slices.Contains(q.Outcomes, r.Outcome())) &&
		(q.ErrorCode == "" || r.ErrorCode.Value == q.ErrorCode || r.Failure.Value.Status == q.ErrorCode) &&
		(q.Text == "" || strings.Contains(r.ID.String(), q.Text))
}

// ranges returns the keys to read, by outcome.
func (x *Index) ranges(tenant string, q Query) ([]*keyRange, error) {
	var from, to spot
	to = spot(bytes.Repeat([]byte{0xff}, spotLen))
	if !q.From.IsZero() {
		putTime(from[:], q.From)
	}
	if !q.To.IsZero() {
		putTime(to[:], q.To)
	}
	open := true // whether the range includes to
	if q.Cursor != "" {
		b, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
		if err != nil || len(b) != spotLen {
			return nil, ErrCursor
		}
		if cursor := spot(b); bytes.Compare(cursor[:], to[:]) <= 0 {
			to, open = cursor, false
		}
	}
	wanted := q.Outcomes
	if len(wanted) == 0 {
		for o := range outcomes {
			wanted = append(wanted, o)
		}
	}
	wanted = slices.Compact(slices.Sorted(slices.Values(wanted)))
	var ranges []*keyRange
	for _, o := range wanted {
		prefix := outcomePrefix(o)
		if q.Target != "" {
			prefix = targetPrefix(q.Target, o)
		}
		r := &keyRange{store: x.store, tenant: tenant, prefix: len(prefix)}
		r.from = append(bytes.Clone(prefix), from[:]...)
		r.to = append(bytes.Clone(prefix), to[:]...)
		if open {
			r.to = append(r.to, 0)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

// keyRange reads the spots of a range of keys, the greatest first.
type keyRange struct {
	store    Store
	tenant   string
	prefix   int // bytes of a key before its spot
	from, to []byte
	keys     [][]byte
	done     bool
}

// peek returns the next spot.
func (r *keyRange) peek(ctx context.Context) (s spot, ok bool, err error) {
	if len(r.keys) == 0 && !r.done {
		if r.keys, err = r.store.Scan(ctx, r.tenant, Range{From: r.from, To: r.to, Limit: scanKeys, Reverse: true}); err != nil {
			return spot{}, false, err
		}
		if r.done = len(r.keys) < scanKeys; !r.done {
			r.to = r.keys[len(r.keys)-1]
		}
	}
	if len(r.keys) == 0 {
		return spot{}, false, nil
	}
	if len(r.keys[0]) != r.prefix+spotLen {
		return spot{}, false, errCorrupt
	}
	return spot(r.keys[0][r.prefix:]), true, nil
}

// nextSpot takes the greatest spot of all ranges.
func nextSpot(ctx context.Context, ranges []*keyRange) (best spot, found bool, err error) {
	var from []*keyRange
	for _, r := range ranges {
		s, ok, err := r.peek(ctx)
		if err != nil {
			return spot{}, false, err
		}
		switch c := bytes.Compare(s[:], best[:]); {
		case !ok:
		case !found || c > 0:
			best, found, from = s, true, append(from[:0], r)
		case c == 0: // it changes its outcome right now
			from = append(from, r)
		}
	}
	for _, r := range from {
		r.keys = r.keys[1:]
	}
	return best, found, nil
}
