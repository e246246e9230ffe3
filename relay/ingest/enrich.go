package ingest

import (
	"strings"

	"github.com/invoscope/invoscope/correlate"
)

// The structured metadata that we add; queries and provisioning depend on these
// names.
const (
	metaInvocationID = "restate_invocation_id"
	metaRelated      = "restate_related_invocation_ids" // comma-separated
	metaTarget       = "restate_invocation_target"
	metaErrorCode    = "restate_error_code"
	metaRetryCount   = "restate_retry_count"
	metaLevel        = "level"
	metaTraceID      = "trace_id" // as Loki names the one of an OTLP record
)

// label is one label of an entry's structured metadata.
type label struct{ name, value string }

// entry is a log entry. What it refers to belongs to the request.
type entry struct {
	time int64 // nanoseconds since 1970
	line string
	meta []label
}

func (e *entry) size() int {
	n := len(e.line)
	for i := range e.meta {
		n += len(e.meta[i].name) + len(e.meta[i].value)
	}
	return n
}

// enrich adds to an entry the facts of its line, and the trace of its invocation.
// What we find replaces what the sender gave under the same name, but for the level
// and the trace: the sender may know them better. The tenant's key isn't the sender's
// to give.
func (b *logBatch) enrich(e *entry) {
	facts := &b.facts
	facts.Extract(e.line)
	if b.in.opts.ContinuationLines {
		b.continueRecord(e)
	}
	level, id, traced := facts.Level, facts.InvocationID, false
	kept := e.meta[:0]
	for _, l := range e.meta {
		if l.name == b.in.opts.TenantKey || replaces(facts, l.name) {
			continue
		}
		switch l.name {
		case metaInvocationID:
			id = l.value
		case metaLevel:
			level = ""
		case metaTraceID:
			traced = true
		}
		kept = append(kept, l)
	}
	e.meta = appendText(kept, metaInvocationID, facts.InvocationID)
	if len(facts.Related) > 0 {
		e.meta = append(e.meta, label{metaRelated, strings.Join(facts.Related, ",")})
	}
	e.meta = appendText(e.meta, metaTarget, facts.Target)
	e.meta = appendText(e.meta, metaErrorCode, facts.ErrorCode)
	e.meta = appendText(e.meta, metaRetryCount, facts.RetryCount)
	e.meta = appendText(e.meta, metaLevel, level)
	if !traced && id != "" && b.in.opts.TraceOf != nil {
		if t := b.traceOf(id); t.Until == 0 || e.time <= t.Until {
			e.meta = appendText(e.meta, metaTraceID, t.ID)
		}
	}
}

// replaces reports whether the facts say what a label of the sender does.
func replaces(facts *correlate.Facts, name string) bool {
	switch name {
	case metaInvocationID:
		return facts.InvocationID != ""
	case metaRelated:
		return len(facts.Related) > 0
	case metaTarget:
		return facts.Target != ""
	case metaErrorCode:
		return facts.ErrorCode != ""
	case metaRetryCount:
		return facts.RetryCount != ""
	}
	return false
}

func appendText(meta []label, name, value string) []label {
	if value == "" {
		return meta
	}
	return append(meta, label{name, value})
}

// keepTraces bounds the memory of a request's traces that is kept for the next one.
const keepTraces = 4096

// traces are those of the invocations that a request has named so far.
type traces struct {
	// of the entry before: entries of an invocation come in a row
	id    string
	trace Trace

	known map[string]Trace
}

func (t *traces) reset() {
	if len(t.known) > keepTraces {
		t.known = nil
	}
	clear(t.known)
	t.id, t.trace = "", Trace{}
}

// traceOf is the trace of an invocation. It is asked for once.
func (b *logBatch) traceOf(id string) Trace {
	t := &b.traces
	if id == t.id {
		return t.trace
	}
	trace, ok := t.known[id]
	if !ok {
		if _, err := correlate.ParseInvocationID(id); err == nil { // a sender may give anything
			trace = b.in.opts.TraceOf(b.tenant, id)
		}
		if t.known == nil {
			t.known = map[string]Trace{}
		}
		t.known[id] = trace
	}
	t.id, t.trace = id, trace
	return trace
}
