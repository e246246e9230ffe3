package timeline

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/invoscope/invoscope/relay/invocation"
)

// gapTexts says what a gap that the API names means.
var gapTexts = map[string]string{
	"start":    "its start wasn't seen",
	"end":      "how it ended wasn't seen",
	"attempts": "not all of its attempts were seen",
	"caller":   "who invoked it wasn't seen",
	"traces":   "not all of its traces are kept, or none was seen",
	"callees":  "it has more callees than are listed",
}

// maxListed bounds the traces and callees that are shown.
const maxListed = 20

// WriteFacts prints what is known of an invocation.
func WriteFacts(w io.Writer, i *invocation.Invocation, o Options) error {
	p := newPrinter(w, o.Style)
	f := facts{p, o.Now}
	p.row(of(bold, orUnknown(i.Target)), piece{plain, "  "}, of(dim, i.ID))
	f.outcome(i)
	if e := i.Error; e != nil {
		rows := detailLines(errorDetail(e))
		f.row("error", of(red, rows[0]), piece{dim, "  " + f.ago(e.At)})
		for _, row := range rows[1:] {
			f.row("", of(plain, row))
		}
	}
	f.row("attempts", piece{plain, strconv.Itoa(i.AttemptsSeen) + " seen"})
	f.at("started", i.Started)
	f.at("ended", i.Ended)
	f.row("last seen", piece{plain, stamp(i.LastSeen)}, piece{dim, "  " + f.ago(i.LastSeen)})
	f.row("origin", originText(i)...)
	if i.Deployment != "" {
		f.row("deployment", of(plain, i.Deployment))
	}
	f.callees(i.Callees)
	f.traces(i.Traces)
	name := "not seen"
	for _, gap := range i.Gaps {
		text, ok := gapTexts[gap]
		if !ok {
			text = gap
		}
		f.row(name, of(yellow, text))
		name = ""
	}
	return p.flush()
}

type facts struct {
	p   *printer
	now time.Time
}

// row is a fact with its name.
func (f facts) row(name string, value ...piece) {
	f.p.row(append([]piece{{dim, fmt.Sprintf("  %-11s ", name)}}, value...)...)
}

func (f facts) ago(t time.Time) string { return Age(f.now.Sub(t)) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (f facts) at(name string, t *time.Time) {
	if t != nil {
		f.row(name, piece{plain, stamp(*t)}, piece{dim, "  " + f.ago(*t)})
	}
}

func (f facts) outcome(i *invocation.Invocation) {
	value := []piece{of(outcomeColor(i.Outcome), i.Outcome)}
	if i.Started != nil {
		switch {
		case i.Ended != nil:
			value = append(value, piece{plain, " after " + Duration(i.Ended.Sub(*i.Started))})
		case i.Outcome == "scheduled":
			value = append(value, piece{plain, " for " + Duration(f.now.Sub(*i.Started)) + " so far"})
		case !i.Final:
			value = append(value, piece{plain, ", " + Duration(f.now.Sub(*i.Started)) + " after its start"})
		}
	}
	f.row("outcome", value...)
}

func (f facts) callees(all []invocation.Callee) {
	name := "callees"
	for n, c := range all {
		if n == maxListed {
			f.row(name, piece{dim, count(len(all)-n, "more callee")})
			return
		}
		how := c.Origin
		if how == "unknown" {
			how = "called or sent: not known yet"
		}
		f.row(name, of(plain, c.ID), of(dim, "  "+how))
		name = ""
	}
}

func (f facts) traces(all []invocation.Trace) {
	name := "traces"
	for n, t := range all {
		if n == maxListed {
			f.row(name, piece{dim, count(len(all)-n, "more trace")})
			return
		}
		what := ""
		if !t.Main {
			what = "  only a request that joined it"
		}
		f.row(name, of(plain, t.ID), piece{dim, "  " + stamp(t.From) + " for " + Duration(t.To.Sub(t.From)) + what})
		name = ""
	}
}

// originText says how the invocation came to be.
func originText(i *invocation.Invocation) []piece {
	switch i.Origin {
	case "ingress":
		return []piece{{plain, "a request through the ingress"}}
	case "call", "send":
		how := "called by "
		if i.Origin == "send" {
			how = "sent one-way by "
		}
		if i.Caller == "" {
			return []piece{{plain, how + "an invocation that wasn't seen"}}
		}
		return []piece{{plain, how}, of(plain, i.Caller)}
	}
	if i.Caller != "" {
		return []piece{{plain, "invoked by "}, of(plain, i.Caller)}
	}
	return []piece{{plain, "not known"}}
}

func orUnknown(target string) string {
	if target == "" {
		return "(target not known)"
	}
	return target
}

// errorDetail is an error with its lines.
func errorDetail(e *invocation.Error) string {
	oneLine := *e
	oneLine.Message = ""
	return strings.TrimSpace(errorText(&oneLine) + " " + e.Message)
}
