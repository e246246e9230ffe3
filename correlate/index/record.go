package index

import (
	"encoding/hex"
	"time"

	"github.com/invoscope/invoscope/correlate"
)

type (
	// TraceID is OpenTelemetry's. Zero is none.
	TraceID [16]byte
	// SpanID is OpenTelemetry's. Zero is none.
	SpanID [8]byte
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

// What bounds a record: a repeated idempotent call adds a trace each time, and an
// invocation may be tried for ever. Of more traces the latest are kept.
const (
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

// At is a fact that holds from a time on, in nanoseconds since 1970.
type At[T any] struct {
	Time  int64
	Value T
}

// Failure is an error that an invocation met.
type Failure struct {
	Status  string // such as 402 or "500 Internal"
	Message string
}

// Cause is the span that a run of an invocation was started under.
type Cause struct {
	Span   SpanID
	Origin Origin // Call for a parent, Send for a link
}

// Record is what is known of one invocation. Times are in nanoseconds since
// 1970; zero values mean that nothing is known. It is the same in whichever order
// it was learnt.
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
	// Started is when its latest run began, by a span, and Begun by a log line. An id
	// that comes from a key can run again after its retention.
	Started, Begun int64
	// Ended is what a span says of its latest end: Succeeded or Failed.
	Ended At[Outcome]
	// Result is the latest that a log line says of how it ended.
	Result At[Outcome]
	// Completed is the latest time at which it is known to have ended, somehow.
	Completed int64
	// Freed is when Restate last forgot it, which is at its end or long after.
	Freed int64
	// State is the latest that isn't final.
	State   At[Outcome]
	Failure At[Failure] // the latest
	// ErrorCode is the latest of Restate's own, such as RT0007. Only log lines
	// have it.
	ErrorCode  At[string]
	Deployment At[string] // the id of the latest attempt's
	// Ingress is the first ingress span of the invocation.
	Ingress At[SpanID]
	// Requested is when a log line first said that the ingress got a request for it.
	Requested int64
	// Cause is what the start of its latest run names.
	Cause At[Cause]
	// Caller is the invocation that invoked it, when a log line named it.
	Caller At[correlate.InvocationID]
}

// inRun reports whether a time is known and in the latest run.
func (r *Record) inRun(at int64) bool { return at != 0 && at >= max(r.Started, r.Begun) }

// Outcome is the outcome of the latest run.
func (r *Record) Outcome() Outcome {
	switch {
	case r.inRun(r.Ended.Time):
		return r.Ended.Value
	case r.inRun(r.Result.Time):
		return r.Result.Value
	case r.inRun(r.Completed), r.inRun(r.Freed):
		return Completed
	case r.inRun(r.State.Time):
		return r.State.Value
	case r.Started != 0 || r.Begun != 0:
		return Running
	}
	return Unknown
}

// sameRun is how far apart the times are at most that are told of a run's beginning, in
// nanoseconds: Restate logs that it begins just after the time that its span has.
const sameRun = int64(10 * time.Second)

// StartedAt is when the latest run began, or zero.
func (r *Record) StartedAt() int64 {
	if r.Started != 0 && r.Begun-r.Started < sameRun {
		return r.Started
	}
	return r.Begun
}

// beganAt reports whether the latest run, as far as is known, is one that began at a time.
func (r *Record) beganAt(at int64) bool {
	started := r.StartedAt()
	return started == 0 || at > started-sameRun && at < started+sameRun
}

// EndedAt is when the latest run ended, or zero.
func (r *Record) EndedAt() int64 {
	for _, at := range []int64{r.Ended.Time, r.Completed, r.Result.Time, r.Freed} {
		if r.inRun(at) {
			return at
		}
	}
	return 0
}

// MainTrace is the latest trace that the invocation ran in, or zero.
func (r *Record) MainTrace() TraceID { return r.mainTrace().ID }

func (r *Record) mainTrace() (main Trace) {
	for _, t := range r.Traces {
		if t.Main && (main.ID == TraceID{} || t.To > main.To) {
			main = t
		}
	}
	return main
}

// Gaps names what must have happened but wasn't seen, and what was cut: start,
// end, attempts, traces. What was lost without a trace isn't named: attempts, for
// one, are those that were seen.
func (r *Record) Gaps() []string {
	gaps := []string{}
	outcome := r.Outcome()
	if r.Started == 0 && r.Begun == 0 {
		gaps = append(gaps, "start")
	}
	if outcome.Final() && !r.inRun(r.Ended.Time) {
		gaps = append(gaps, "end")
	}
	if r.MoreAttempts || outcome == Succeeded && len(r.Attempts) == 0 {
		gaps = append(gaps, "attempts")
	}
	// What waits for its time has no trace yet, unless a client asked for it.
	if r.MoreTraces || len(r.Traces) == 0 && outcome != Scheduled {
		gaps = append(gaps, "traces")
	}
	return gaps
}

// String is the id in hexadecimal digits.
func (t TraceID) String() string { return hex.EncodeToString(t[:]) }

// String is the id in hexadecimal digits.
func (s SpanID) String() string { return hex.EncodeToString(s[:]) }
