package ingest

import (
	"strings"

	"github.com/invoscope/invoscope/correlate"
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
		case correlate.MetaInvocationID:
			id = l.value
		case correlate.MetaLevel:
			level = ""
		case correlate.MetaTraceID:
			traced = true
		}
		kept = append(kept, l)
	}
	e.meta = appendText(kept, correlate.MetaInvocationID, facts.InvocationID)
	if len(facts.Related) > 0 {
		e.meta = append(e.meta, label{correlate.MetaRelated, strings.Join(facts.Related, ",")})
	}
	e.meta = appendText(e.meta, correlate.MetaTarget, facts.Target)
	e.meta = appendText(e.meta, correlate.MetaErrorCode, facts.ErrorCode)
	e.meta = appendText(e.meta, correlate.MetaRetryCount, facts.RetryCount)
	e.meta = appendText(e.meta, correlate.MetaLevel, level)
	if !traced && id != "" && b.in.opts.TraceOf != nil {
		if t := b.traceOf(id); t.Until == 0 || e.time <= t.Until {
			e.meta = appendText(e.meta, correlate.MetaTraceID, t.ID)
		}
	}
}

// replaces reports whether the facts say what a label of the sender does.
func replaces(facts *correlate.Facts, name string) bool {
	switch name {
	case correlate.MetaInvocationID:
		return facts.InvocationID != ""
	case correlate.MetaRelated:
		return len(facts.Related) > 0
	case correlate.MetaTarget:
		return facts.Target != ""
	case correlate.MetaErrorCode:
		return facts.ErrorCode != ""
	case correlate.MetaRetryCount:
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
