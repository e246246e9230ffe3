package ingest

import (
	"fmt"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/invoscope/invoscope/relay/fault"
)

// reason is why a log entry or a span isn't taken: as the metrics' label, and as
// an OTLP client reads it after "3 spans".
type reason struct{ label, phrase string }

var (
	reasonID        = reason{"invalid_id", "without a valid trace id and span id"}
	reasonText      = reason{"invalid_utf8", "with text that isn't valid UTF-8"}
	reasonMetadata  = reason{"metadata", "with too many attributes"}
	reasonAttribute = reason{"attribute_name", "with an attribute whose name can't be a label's"}
	reasonLabels    = reason{"labels", "with resource attributes that can't be stream labels"}
)

// limitReasons are those whose phrase says what the limit is.
type limitReasons struct{ oldEntry, oldSpan, future, large reason }

func (o *Options) reasons() limitReasons {
	return limitReasons{
		oldEntry: reason{"too_old", "older than " + model.Duration(o.LogMaxAge).String()},
		oldSpan:  reason{"too_old", "older than " + model.Duration(o.SpanMaxAge).String()},
		future:   reason{"too_far_in_the_future", "more than " + model.Duration(o.MaxLead).String() + " in the future"},
		large:    reason{"too_large", fmt.Sprintf("larger than %d bytes", o.MaxItemBytes)},
	}
}

// refusals are the items of one request that aren't taken while others are.
type refusals struct {
	counts   []refusalCount
	messages []refusalMessage
	more     int64 // refused with a message that isn't kept
}

type refusalCount struct {
	reason reason
	count  int64
}

type refusalMessage struct {
	text  string
	count int64
}

// These bound what a client is told: entries each wrong in its own way would make
// the answer larger than the request.
const (
	maxMessages     = 10
	maxMessageBytes = 1000
)

// add notes refused items; message may be nil and is only called when its text
// is wanted.
func (r *refusals) add(why reason, count int64, message func() string) {
	r.addCount(why, count)
	switch {
	case message == nil:
	case len(r.messages) == maxMessages:
		r.more += count
	default:
		r.addMessage(message(), count)
	}
}

func (r *refusals) addCount(why reason, count int64) {
	for i := range r.counts {
		if r.counts[i].reason == why {
			r.counts[i].count += count
			return
		}
	}
	r.counts = append(r.counts, refusalCount{why, count})
}

func (r *refusals) addMessage(text string, count int64) {
	if len(text) > maxMessageBytes {
		text = text[:maxMessageBytes] + "…"
	}
	for i := range r.messages {
		if r.messages[i].text == text {
			r.messages[i].count += count
			return
		}
	}
	r.messages = append(r.messages, refusalMessage{text, count})
}

func (r *refusals) reset() {
	clear(r.messages)
	*r = refusals{counts: r.counts[:0], messages: r.messages[:0]}
}

func (r *refusals) total() (n int64) {
	for _, c := range r.counts {
		n += c.count
	}
	return n
}

// phrase is the message of an OTLP partial success.
func (r *refusals) phrase(items string) string {
	var parts []string
	for _, c := range r.counts {
		parts = append(parts, fmt.Sprintf("%d %s %s", c.count, items, c.reason.phrase))
	}
	return strings.Join(parts, "; ")
}

// lokiError is what Loki answers when it has refused entries and kept others:
// 400, whatever was wrong with them, and the messages with their counts
// (util.GroupedErrors, Loki 3.7.8). It is nil when nothing was refused.
func (r *refusals) lokiError() error {
	if len(r.messages) == 0 {
		return nil
	}
	if len(r.messages) == 1 && r.messages[0].count == 1 && r.more == 0 {
		return fault.New(fault.Invalid, r.messages[0].text)
	}
	var parts []string
	for _, m := range r.messages {
		parts = append(parts, fmt.Sprintf("%d errors like: %s", m.count, m.text))
	}
	if r.more > 0 {
		parts = append(parts, fmt.Sprintf("%d other errors", r.more))
	}
	return fault.New(fault.Invalid, strings.Join(parts, "; "))
}
