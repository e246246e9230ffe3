package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/invoscope/invoscope/correlate"
)

// Merge adds what o knows of the same invocation. The order in which records are
// merged, and how often, makes no difference, but to which traces and attempts of
// too many are kept.
func (r *Record) Merge(o *Record) {
	r.see(o.FirstSeen, o.LastSeen)
	r.name(o.Target, o.TargetSure)
	for _, t := range o.Traces {
		r.trace(t)
	}
	for _, a := range o.Attempts {
		r.attempt(a)
	}
	r.MoreTraces = r.MoreTraces || o.MoreTraces
	r.MoreAttempts = r.MoreAttempts || o.MoreAttempts
	r.Started, r.Begun = max(r.Started, o.Started), max(r.Begun, o.Begun)
	r.Completed, r.Freed = max(r.Completed, o.Completed), max(r.Freed, o.Freed)
	latest(&r.Ended, o.Ended, cmp.Compare[Outcome])
	latest(&r.Result, o.Result, cmp.Compare[Outcome])
	latest(&r.State, o.State, cmp.Compare[Outcome])
	latest(&r.Failure, o.Failure, compareFailures)
	latest(&r.ErrorCode, o.ErrorCode, strings.Compare)
	latest(&r.Deployment, o.Deployment, strings.Compare)
	latest(&r.Cause, o.Cause, compareCauses)
	latest(&r.Caller, o.Caller, compareIDs)
	r.ingress(o.Ingress)
	r.requested(o.Requested)
}

// latest keeps the later fact, and of two at the same time the greater.
func latest[T any](at *At[T], other At[T], compare func(a, b T) int) {
	if other.Time > at.Time || other.Time == at.Time && compare(other.Value, at.Value) > 0 {
		*at = other
	}
}

func (r *Record) see(first, last int64) {
	if first != 0 && (r.FirstSeen == 0 || first < r.FirstSeen) {
		r.FirstSeen = first
	}
	r.LastSeen = max(r.LastSeen, last)
}

// name keeps the better of two names of the target, in a copy.
func (r *Record) name(target string, sure bool) {
	if target == "" || target == r.Target && sure == r.TargetSure || r.TargetSure && !sure {
		return
	}
	target = cut(target)
	if sure != r.TargetSure || betterTarget(target, r.Target) {
		r.Target, r.TargetSure = strings.Clone(target), sure
	}
}

// betterTarget prefers the one that tells an object's key.
func betterTarget(a, b string) bool {
	return cmp.Or(
		-compareBool(strings.Contains(a, "{key}"), strings.Contains(b, "{key}")),
		cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")),
		strings.Compare(a, b),
	) > 0
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (r *Record) trace(t Trace) {
	i, known := slices.BinarySearchFunc(r.Traces, t, func(a, b Trace) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	if known {
		old := &r.Traces[i]
		old.From, old.To = min(old.From, t.From), max(old.To, t.To)
		old.Main = old.Main || t.Main
		return
	}
	r.Traces = slices.Insert(r.Traces, i, t)
	if len(r.Traces) > MaxTraces {
		worst := slices.MinFunc(r.Traces, func(a, b Trace) int {
			return cmp.Or(compareBool(a.Main, b.Main), cmp.Compare(a.To, b.To), bytes.Compare(a.ID[:], b.ID[:]))
		})
		r.Traces = slices.DeleteFunc(r.Traces, func(t Trace) bool { return t.ID == worst.ID })
		r.MoreTraces = true
	}
}

func (r *Record) attempt(a SpanID) {
	i, known := slices.BinarySearchFunc(r.Attempts, a, compareSpans)
	switch {
	case known:
	case len(r.Attempts) < MaxAttempts:
		r.Attempts = slices.Insert(r.Attempts, i, a)
	default:
		r.MoreAttempts = true
		if i < MaxAttempts {
			r.Attempts = slices.Insert(r.Attempts[:MaxAttempts-1], i, a)
		}
	}
}

// ingress keeps the earlier span.
func (r *Record) ingress(o At[SpanID]) {
	if o.Value == (SpanID{}) {
		return
	}
	old := r.Ingress
	if old.Value == (SpanID{}) || o.Time < old.Time || o.Time == old.Time && bytes.Compare(o.Value[:], old.Value[:]) > 0 {
		r.Ingress = o
	}
}

func (r *Record) requested(at int64) {
	if at != 0 && (r.Requested == 0 || at < r.Requested) {
		r.Requested = at
	}
}

func compareSpans(a, b SpanID) int {
	return cmp.Compare(binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(b[:]))
}

func compareFailures(a, b Failure) int {
	return cmp.Or(strings.Compare(a.Status, b.Status), strings.Compare(a.Message, b.Message))
}

func compareCauses(a, b Cause) int {
	return cmp.Or(cmp.Compare(a.Origin, b.Origin), bytes.Compare(a.Span[:], b.Span[:]))
}

func compareIDs(a, b correlate.InvocationID) int {
	return cmp.Or(bytes.Compare(a.UUID[:], b.UUID[:]), cmp.Compare(a.PartitionKey, b.PartitionKey))
}

// cut bounds a text without leaving half a character.
func cut(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// startSpan is the span id of an invocation's start span, of 1.6's invoke span and
// of none else: the last eight bytes of its UUID. It names the invocation in keys.
func startSpan(id correlate.InvocationID) SpanID { return SpanID(id.UUID[8:]) }

// rest is what startSpan leaves of an id.
func rest(id correlate.InvocationID) (b [restLen]byte) {
	copy(b[:], id.UUID[:8])
	binary.BigEndian.PutUint64(b[8:], id.PartitionKey)
	return b
}

const restLen = 16

// idOf puts an id together again.
func idOf(start SpanID, rest [restLen]byte) (id correlate.InvocationID) {
	copy(id.UUID[:8], rest[:8])
	copy(id.UUID[8:], start[:])
	id.PartitionKey = binary.BigEndian.Uint64(rest[8:])
	return id
}
