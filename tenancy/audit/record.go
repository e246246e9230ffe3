package audit

import (
	"time"

	"github.com/invoscope/invoscope/tenancy"
)

// Phase says which of a long request's two lines one is.
type Phase string

// The phases. A short request has one line, without a phase.
const (
	Whole Phase = ""
	Begin Phase = "begin" // the request was let in and goes on
	End   Phase = "end"
)

// Record is what there is to know of a request. Every string but Phase may come from
// strangers, of any length.
type Record struct {
	Time  time.Time // when the request came
	Phase Phase
	// Identity is who asked, or whose credential was refused; zero if that isn't known.
	Identity tenancy.Identity
	Method   string // of HTTP
	// Route is the pattern of the route, or the gRPC method; empty if none matched.
	Route string
	// Path is the path as it was asked for, for requests without a route.
	Path   string
	Host   string // Host or :authority
	Remote string // the client's address, or its proxy's
	// Status is the HTTP status, zero over the OTLP/gRPC port; Code the name of the
	// gRPC code, empty without gRPC.
	Status int
	Code   string
	// Reason is why a request was refused, in full. It isn't for the client.
	Reason string
	// In and Out are the bytes of the bodies, as they came and went.
	In, Out int64
	Took    time.Duration
	// Query holds what was asked for, if that is to be known.
	Query []Param
}

// Param is a parameter of a query.
type Param struct{ Name, Value string }
