package ingest

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/invoscope/invoscope/internal/wire"
	"github.com/invoscope/invoscope/relay/fault"
)

// container is what ResourceLogs, ScopeLogs, ResourceSpans and ScopeSpans have in
// common: something that all members share, and the members.
type container struct {
	head    []byte // the Resource or InstrumentationScope
	members int32  // the number of the members' field
}

const (
	fieldHead    = 1
	fieldMembers = 2
	fieldSchema  = 3
	// fieldLibraries holds the scopes of a resource as they were called before
	// OTLP 0.15. As pdata does, they count when there are no others.
	fieldLibraries = 1000
)

var containerMessage = &message{fields: [17]fieldType{fieldHead: fieldBytes, fieldMembers: fieldBytes, fieldSchema: fieldText}}

// readContainer reads a container whose head is of a kind. The head may stand
// behind the members, or in pieces.
func readContainer(body []byte, kind *message) (container, flaw) {
	c := container{members: fieldMembers}
	worst, members, libraries := sound, 0, 0
	f := wire.Fields{Body: body}
	for f.Next() {
		worst = max(worst, containerMessage.checkField(&f, 0))
		switch f.Number {
		case fieldHead:
			if c.head == nil {
				c.head = slices.Clip(f.Content) // a second piece mustn't be written over what follows
			} else {
				c.head = append(c.head, f.Content...)
			}
		case fieldMembers:
			members++
		case fieldLibraries:
			if f.Kind != protowire.BytesType {
				worst = noRecord
			}
			libraries++
		}
	}
	if f.Broken {
		return c, noRecord
	}
	if members == 0 && libraries > 0 {
		c.members = fieldLibraries
	}
	return c, max(worst, kind.check(c.head))
}

// countItems is how many records or spans the scopes of a resource hold.
func (c container) countItems(resource []byte) (n int64) {
	scopes := wire.Fields{Body: resource}
	for scopes.Next() {
		if scopes.Is(c.members) {
			n += countMembers(scopes.Content)
		}
	}
	return n
}

func countMembers(scope []byte) (n int64) {
	items := wire.Fields{Body: scope}
	for items.Next() {
		if items.Is(fieldMembers) {
			n++
		}
	}
	return n
}

// maxDepth bounds values within values. Whatever decodes, prints or flattens such
// a value recurses, here and in the engines, and a request of a few megabytes can
// nest a million of them: enough to overflow a stack, which ends the process.
const maxDepth = 64

var (
	errNotOTLP = fault.New(fault.Invalid, "the request is not OTLP")
	errTooDeep = fault.New(fault.Invalid, fmt.Sprintf("a body or an attribute is nested too deeply (at most %d levels)", maxDepth))
)

// fatal is the error of a request that can't be taken in part, or nil.
func (w flaw) fatal() error {
	switch w {
	case noRecord:
		return errNotOTLP
	case tooDeep:
		return errTooDeep
	case sound, badText, badID:
	}
	return nil
}

// reason is why an item with a lesser flaw isn't taken.
func (w flaw) reason() reason {
	if w == badID {
		return reasonID
	}
	return reasonText
}

// maxJSONNesting is maxDepth for JSON, where a level takes up to four brackets.
const maxJSONNesting = 16 + 4*maxDepth

// checkJSONDepth counts brackets outside of strings, before anything is decoded.
func checkJSONDepth(body []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxJSONNesting {
				return errTooDeep
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
