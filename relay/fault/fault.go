package fault

import (
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
)

// Kind is a class of failure.
type Kind int

// The kinds. The zero value is Internal, so that a forgotten kind hides rather
// than shows.
const (
	Internal Kind = iota
	Invalid
	TooLarge
	UnsupportedMedia
	Unauthenticated
	Forbidden
	NotFound
	Unprocessable // well-formed, but there is nothing in it to do
	Full          // no room right now
	Limited       // more than the tenant may have
	WrongMethod
	TooManyFields // in the request's head
	Unavailable
)

// kinds is the one place that knows what a kind is over the wire. OTLP clients
// retry 503 and UNAVAILABLE, and drop on 400 and INVALID_ARGUMENT
// (opentelemetry.io/docs/specs/otlp, "Failures").
var kinds = map[Kind]struct {
	http int
	grpc codes.Code
}{
	Internal:         {http.StatusInternalServerError, codes.Internal},
	Invalid:          {http.StatusBadRequest, codes.InvalidArgument},
	TooLarge:         {http.StatusRequestEntityTooLarge, codes.InvalidArgument},
	UnsupportedMedia: {http.StatusUnsupportedMediaType, codes.InvalidArgument},
	Unauthenticated:  {http.StatusUnauthorized, codes.Unauthenticated},
	Forbidden:        {http.StatusForbidden, codes.PermissionDenied},
	NotFound:         {http.StatusNotFound, codes.NotFound},
	Unprocessable:    {http.StatusUnprocessableEntity, codes.InvalidArgument},
	Full:             {http.StatusServiceUnavailable, codes.ResourceExhausted},
	Limited:          {http.StatusTooManyRequests, codes.ResourceExhausted},
	WrongMethod:      {http.StatusMethodNotAllowed, codes.Unimplemented},
	TooManyFields:    {http.StatusRequestHeaderFieldsTooLarge, codes.InvalidArgument},
	Unavailable:      {http.StatusServiceUnavailable, codes.Unavailable},
}

// HTTPStatus returns the kind's HTTP status code.
func (k Kind) HTTPStatus() int { return kinds[k].http }

// GRPCCode returns the kind's gRPC status code.
func (k Kind) GRPCCode() codes.Code { return kinds[k].grpc }

// Error is a failure as its client may see it.
type Error struct {
	Kind    Kind
	Message string
	// RetryAfter is how long the client should wait; zero leaves it out. It is
	// rounded up to whole seconds over HTTP.
	RetryAfter time.Duration
	// Cause is logged and never shown.
	Cause error
}

// New returns an error of a kind with a message for the client.
func New(kind Kind, message string) *Error { return &Error{Kind: kind, Message: message} }

func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

func (e *Error) Unwrap() error { return e.Cause }

// Of returns err as an [Error]. One that isn't is Internal, and its text stays
// with us.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Message: "internal error", Cause: err}
}
