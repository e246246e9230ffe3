package index

import (
	"github.com/invoscope/invoscope/correlate"
)

// TraceID and SpanID are OpenTelemetry's. Zero is none.
type (
	TraceID [16]byte
	SpanID  [8]byte
)

// Outcome is what became of an invocation, as far as was seen.
type Outcome uint8

// The outcomes. Their numbers are stored.
const (
	Unknown   Outcome = iota // it was named, and nothing more is known
	Scheduled                // it waits for its time
	Running                  // it runs, or waits to be tried again
	Suspended                // it waits for something to complete
	Paused                   // it won't be tried again until somebody resumes it
	Completed                // it ended; how wasn't seen
	Succeeded
	Failed // it ended with an error, or was cancelled or killed
	outcomes
)

var outcomeNames = [outcomes]string{"unknown", "scheduled", "running", "suspended", "paused", "completed", "succeeded", "failed"}

// String is the outcome's name in the invocation API.
func (o Outcome) String() string {
	if o >= outcomes {
		return outcomeNames[Unknown]
	}
	return outcomeNames[o]
}

// ParseOutcome returns the outcome of a name.
func ParseOutcome(name string) (Outcome, bool) {
	for o, n := range outcomeNames {
		if n == name {
			return Outcome(o), true
		}
	}
	return Unknown, false
}

// Final reports whether the invocation ended.
func (o Outcome) Final() bool { return o >= Completed }

// Origin is how an invocation came to be.
type Origin uint8

// The origins. Their numbers are stored.
const (
	OriginUnknown Origin = iota
	Ingress              // a request to Restate's ingress
	Call                 // another invocation called it and waits for its result
	Send                 // another invocation sent it one-way
)

var originNames = [...]string{"unknown", "ingress", "call", "send"}

// String is the origin's name in the invocation API.
func (o Origin) String() string {
	if int(o) >= len(originNames) {
		return originNames[OriginUnknown]
	}
	return originNames[o]
}

const (
	// MaxTraces and MaxAttempts bound a record: a repeated idempotent call adds a
	// trace each time, and an invocation may be tried for ever. Of more traces the
	// latest are kept.
	MaxTraces   = 64
	MaxAttempts = 512
	// maxText bounds each text of a record, in bytes.
	maxText = 512
)

// Trace is one of an invocation's traces. The times are those of the spans
// that carry the invocation's id, in nanoseconds since 1970.
type Trace struct {
	ID       TraceID
	From, To int64
	// Main is set when the invocation ran in it. A repeated idempotent call
	// leaves a trace that only has its ingress span.
	Main bool
}

// At is a fact that holds from a time on, in nanoseconds since 1970. The
// latest counts, and of two at the same time the greater.
type At[T any] struct {
	Time  int64
	Value T
}

// Failure is an error that an invocation met.
type Failure struct {
	// Code is Restate's, such as RT0007, from log lines.
	Code string
	// Status is the error's own, such as 402 or "500 Internal".
	Status  string
	Message string
}

// Record is what is known of one invocation. Times are in nanoseconds since
// 1970; zero values mean that nothing is known.
type Record struct {
	ID        correlate.InvocationID
	FirstSeen int64 // of the earliest span or line
	LastSeen  int64 // of the latest
	Target    string
	// TargetSure is set when a span named the target. Log lines sometimes spell
	// that of an object without its key.
	TargetSure bool
	Traces     []Trace // by ID
	MoreTraces bool    // there were more than MaxTraces
	// Attempts are the span ids of its attempts, in ascending order.
	Attempts     []SpanID
	MoreAttempts bool // there were more than MaxAttempts
	// Started is when its latest run began. An id that comes from a key can run
	// again after its retention.
	Started int64
	Ended   At[Outcome] // Completed, Succeeded or Failed
	State   At[Outcome] // the latest that isn't final
	Failure At[Failure]
	// Deployment is the id of the latest attempt's.
	Deployment At[string]
	// Ingress is the first ingress span of the invocation.
	Ingress At[SpanID]
	// Cause is what its latest run's start names as its parent or link, and
	// says whether it is one or the other (Call, Send).
	Cause At[Cause]
	// Caller is the invocation that invoked it, when a log line named it.
	Caller correlate.InvocationID
}

// Cause is the span that an invocation was started under.
type Cause struct {
	Span   SpanID
	Origin Origin // Call for a parent, Send for a link
}

// Outcome is the outcome of the latest run.
func (r *Record) Outcome() Outcome {
	switch {
	case r.Ended.Value != Unknown && r.Ended.Time >= r.Started:
		return r.Ended.Value
	case r.State.Value != Unknown && r.State.Time >= r.Started:
		return r.State.Value
	case r.Started != 0:
		return Running
	}
	return Unknown
}
