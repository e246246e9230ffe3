package invocation

import "time"

// Summary is an invocation in a listing.
type Summary struct {
	ID        string    `json:"id"`
	Target    string    `json:"target,omitempty"`
	Outcome   string    `json:"outcome"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	// AttemptsSeen is the number of attempts whose spans came. It may have been
	// tried more often.
	AttemptsSeen int    `json:"attempts_seen"`
	Error        *Error `json:"error,omitempty"`
}

// Error is the last error that an invocation met.
type Error struct {
	At      time.Time `json:"at"`
	Code    string    `json:"code,omitempty"`   // Restate's, such as RT0007
	Status  string    `json:"status,omitempty"` // such as 402 or "500 Internal"
	Message string    `json:"message,omitempty"`
}

// Page answers GET /api/invoscope/v1/invocations.
type Page struct {
	Invocations []Summary `json:"invocations"`
	Next        string    `json:"next,omitempty"` // the cursor of the next page
}

// Invocation answers GET /api/invoscope/v1/invocations/{id}.
type Invocation struct {
	Summary
	// Final says that the outcome won't change.
	Final      bool       `json:"final"`
	Started    *time.Time `json:"started,omitempty"`
	Ended      *time.Time `json:"ended,omitempty"`
	Deployment string     `json:"deployment,omitempty"`
	Traces     []Trace    `json:"traces"`
	Origin     string     `json:"origin"` // ingress, call, send or unknown
	Caller     string     `json:"caller,omitempty"`
	Callees    []Callee   `json:"callees"`
	// Gaps names what must have happened but wasn't seen, and lists that were cut
	// short: start, end, attempts, caller, traces, callees.
	Gaps []string `json:"gaps"`
}

// Trace is one of an invocation's traces.
type Trace struct {
	ID   string    `json:"id"` // hex
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Main bool      `json:"main"` // the invocation ran in it
}

// Callee is an invocation that this one called or sent.
type Callee struct {
	ID     string `json:"id"`
	Origin string `json:"origin"` // call, send or unknown
}

// Timeline answers GET /api/invoscope/v1/invocations/{id}/timeline. As NDJSON each
// Event is a line of its own, and the last line is an End: the one without a kind.
type Timeline struct {
	Events []Event `json:"events"`
	End
}

// End is what follows a timeline's events.
type End struct {
	// Next is the cursor of the next page. A page may be shorter than its limit, or
	// empty, and still have one.
	Next string `json:"next,omitempty"`
	// Gaps says in words what could not be had, such as a trace that Tempo no longer
	// has, and what must have happened to the invocation but wasn't seen.
	Gaps []string `json:"gaps"`
}

// Event is a span or a log line. Events are ordered by Time; at one time spans are
// first, by their ids, then lines, by stream and in the order that Loki has them.
type Event struct {
	Kind string    `json:"kind"` // span or log
	Time time.Time `json:"time"` // a span's start
	// Invocation is whose it is; empty if Relation is trace.
	Invocation string `json:"invocation,omitempty"`
	// Relation is self, caller or callee, of any depth. It is trace when the event is
	// in a trace of these and nothing tells whose it is, such as a line of a user's
	// service that names a trace but no span.
	Relation string     `json:"relation"`
	Span     *SpanEvent `json:"span,omitempty"`
	Log      *LogEvent  `json:"log,omitempty"`
}

// SpanEvent is a span of a timeline.
type SpanEvent struct {
	TraceID      string         `json:"trace_id"`
	SpanID       string         `json:"span_id"`
	ParentSpanID string         `json:"parent_span_id,omitempty"`
	Service      string         `json:"service,omitempty"`
	Name         string         `json:"name"`
	End          time.Time      `json:"end"`
	Status       string         `json:"status"` // unset, ok or error
	Message      string         `json:"message,omitempty"`
	Attributes   map[string]any `json:"attributes,omitempty"`
	Events       []SpanPoint    `json:"events,omitempty"`
}

// SpanPoint is an event within a span.
type SpanPoint struct {
	Time       time.Time      `json:"time"`
	Name       string         `json:"name"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// LogEvent is a log line of a timeline.
type LogEvent struct {
	Labels   map[string]string `json:"labels"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Level    string            `json:"level,omitempty"`
	Line     string            `json:"line"`
}

// Links answers GET /api/invoscope/v1/invocations/{id}/links.
type Links struct {
	Logs   string   `json:"logs"`   // Grafana Explore with the invocation's log lines
	Traces []string `json:"traces"` // with each of its traces, the latest first
}
