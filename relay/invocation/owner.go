package invocation

import (
	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
)

// assign tells whose each span of a trace is: the invocation that it names, or
// else the one of its parent. So a user service's spans belong to the invocation
// whose attempt they are below, and a called invocation's, which name it, don't
// belong to its caller.
//
// A span whose ancestors end at one that wasn't seen belongs to nobody, even when
// the trace names but one invocation: another's spans may be what is missing.
// known are spans that needn't be seen for one to know whose they are.
func (t *trace) assign(known map[index.SpanID]correlate.InvocationID) {
	t.at = make(map[index.SpanID]int, len(t.spans))
	for i := range t.spans {
		s := &t.spans[i]
		s.owner = s.named
		// Of spans with one id, one that names an invocation counts.
		if j, ok := t.at[s.id]; !ok || t.spans[j].named == none {
			t.at[s.id] = i
		}
	}
	visited := make([]bool, len(t.spans))
	var path []int // from a span to the first ancestor that is known
	for i := range t.spans {
		path = path[:0]
		owner, lost := t.spans[i].owner, false
		for j, seen := i, true; seen && owner == none; {
			if visited[j] { // an earlier path came to nobody
				lost = t.spans[j].lost
				break
			}
			visited[j] = true
			path = append(path, j)
			parent := t.spans[j].parent
			if j, seen = t.at[parent]; seen {
				owner = t.spans[j].owner
			} else {
				owner = known[parent]
				lost = owner == none && parent != index.SpanID{}
			}
		}
		for _, j := range path {
			t.spans[j].owner, t.spans[j].lost = owner, lost
		}
	}
}

// names reports whether all invocations that the trace's spans name are among
// these.
func (t *trace) names(these func(correlate.InvocationID) bool) bool {
	for i := range t.spans {
		if id := t.spans[i].named; id != none && !these(id) {
			return false
		}
	}
	return true
}
