package index

import (
	"context"
	"errors"
	"time"

	"github.com/invoscope/invoscope/correlate"
)

// ErrNotFound means that nothing is known of an invocation.
var ErrNotFound = errors.New("nothing is known of this invocation")

// Relative is an invocation as its caller or callee sees it.
type Relative struct {
	ID     correlate.InvocationID
	Origin Origin // Call, Send, or OriginUnknown when only a log line told
}

// Relations is whom an invocation is related to.
type Relations struct {
	Origin  Origin
	Caller  *correlate.InvocationID // nil when there is none, or it isn't known
	Callees []Relative              // without repeats, by id
	// More is set when there are more callees than were asked for.
	More bool
}

// Query selects invocations of a tenant. The zero value selects all.
type Query struct {
	From, To  time.Time // of FirstSeen, both inclusive; zero is open
	Target    string    // exactly
	Outcomes  []Outcome // any of them; none means all
	ErrorCode string    // Failure's Code or Status
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

// Reader answers what is known. [Index] does; so may a fake.
type Reader interface {
	// Get returns the record of an invocation, or ErrNotFound.
	Get(ctx context.Context, tenant string, id correlate.InvocationID) (Record, error)
	// Relations returns whom r is related to, with at most limit callees.
	Relations(ctx context.Context, tenant string, r *Record, limit int) (Relations, error)
	// List returns a page of records. A bad cursor is ErrCursor.
	List(ctx context.Context, tenant string, q Query) (Page, error)
}

// ErrCursor means that a cursor isn't one that List returned.
var ErrCursor = errors.New("the cursor is not one of this listing")
