package timeline

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/invoscope/invoscope/relay/invocation"
)

// dot separates facts of one row.
const dot = " · "

// howColor is the colour of how an attempt ended.
func howColor(how string) color {
	switch how {
	case "ended":
		return green
	case "failed":
		return red
	case "suspended", "yielded":
		return yellow
	case "running":
		return blue
	}
	return dim
}

func (s *story) attemptNode(i int, a *attempt) *node {
	n := &node{kind: branch, at: a.start, attempt: a, text: []piece{{bold, "attempt " + strconv.Itoa(i+1)}}}
	switch {
	case a.how == "running":
		n.text = append(n.text, piece{plain, dot + Duration(s.Now.Sub(a.start)) + dot})
	case !a.end.IsZero():
		n.text = append(n.text, piece{plain, dot + Duration(a.end.Sub(a.start)) + dot})
	default:
		n.text = append(n.text, piece{plain, dot})
	}
	how := a.how
	if how == "" {
		how = "how it ended is not known"
	}
	n.text = append(n.text, piece{howColor(a.how), how})
	if a.span == nil {
		missing := "its span didn't come"
		if !s.final() {
			missing = "its span hasn't come yet"
		}
		n.text = append(n.text, piece{dim, dot + missing})
		return n
	}
	for _, p := range a.span.Events {
		if child := pointNode(p); child != nil {
			n.add(child)
		}
	}
	return n
}

// pointNode is what a handler did, nil for what other rows tell.
func pointNode(p invocation.SpanPoint) *node {
	name := strings.TrimPrefix(p.Name, pointPrefix)
	switch name {
	case "suspended", "yielded", "run_ended":
		return nil
	case "new_command":
		command, _ := p.Attributes["restate.journal.command.type"].(string)
		name = strings.Replace(words(strings.TrimPrefix(command, "Command/")), "one way", "one-way", 1)
	}
	text := []piece{of(cyan, name)}
	if step, _ := p.Attributes["restate.journal.command.name"].(string); step != "" {
		text = append(text, of(plain, " "+strconv.Quote(step)))
	}
	return &node{kind: branch, at: p.Time, text: text}
}

// words are those of a name such as OneWayCall, in lower case.
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func requestNode(e *invocation.Event, n int) *node {
	text := "request through the ingress"
	if n > 1 {
		text = "request repeated through the ingress"
	}
	return &node{kind: branch, at: e.Time, order: -1, text: []piece{{plain, text}}}
}

// startNode tells who invoked it, nil when another row does: that of the request, or
// the one that it stands below.
func (s *story) startNode(e *invocation.Event) *node {
	if s.below || s.facts == nil || s.facts.Origin != "call" && s.facts.Origin != "send" {
		return nil
	}
	how := "called"
	if s.facts.Origin == "send" {
		how = "sent one-way"
	}
	n := &node{kind: branch, at: e.Time, order: -2, text: []piece{{plain, how}}}
	if s.facts.Caller != "" {
		n.text = append(n.text, piece{plain, " by "}, of(dim, s.facts.Caller))
	}
	return n
}

func endNode(e *invocation.Event) *node {
	if e.Span.Status != "error" {
		return &node{kind: branch, at: e.Time, order: 1, text: []piece{{green, "succeeded"}}}
	}
	n := &node{kind: branch, at: e.Time, order: 1, text: []piece{{red, "failed"}}}
	if code, ok := e.Span.Attributes["restate.invocation.error.code"]; ok {
		n.text = append(n.text, of(plain, fmt.Sprintf(" [%v]", code)))
	}
	rows := detailLines(e.Span.Message)
	n.text = append(n.text, of(plain, " "+rows[0]))
	n.detail = rows[1:]
	return n
}

// spanNode is a span of somebody else than Restate's lifecycle, such as a user's.
func spanNode(e *invocation.Event) *node {
	text := []piece{of(cyan, e.Span.Name), {plain, dot + Duration(e.Span.End.Sub(e.Time))}}
	if e.Span.Service != "" && e.Span.Service != "Restate" {
		text = append([]piece{of(dim, e.Span.Service+" ")}, text...)
	}
	if e.Span.Status == "error" {
		text = append(text, piece{red, strings.TrimSuffix(dot+"failed: "+Clean(e.Span.Message), ": ")})
	}
	return &node{kind: branch, at: e.Time, text: text}
}

// settled is how long an attempt that ended may wait for its invocation's end.
const settled = 100 * time.Millisecond

// waitNode is the wait after an attempt, nil if there is none. The one that lasts
// is told of by the last row.
func (s *story) waitNode(a *attempt, to time.Time) *node {
	if a.how == "running" {
		return nil
	}
	if to.IsZero() {
		if to = s.ended(); !to.After(a.last()) {
			return nil
		}
	}
	w := s.waitAfter(a, to)
	d := Duration(to.Sub(w.from))
	n := &node{kind: waiting, at: w.at, order: 2}
	switch w.why {
	case "suspended":
		n.text = []piece{{yellow, "suspended for " + d}}
	case "paused":
		n.text = []piece{{red, "paused for " + d}}
	case "retry":
		n.text = []piece{{dim, "waited " + d + " to retry"}}
	default:
		if to.Sub(w.from) < settled {
			return nil
		}
		n.text = []piece{{dim, d + " of which nothing is known"}}
	}
	return n
}

// scheduledNode is the wait before the first attempt, nil if there was none that is
// worth a row or if it lasts.
func (s *story) scheduledNode() *node {
	from, to, delayed := s.scheduled()
	if from.IsZero() || to.IsZero() || !delayed && to.Sub(from) < settled {
		return nil
	}
	n := &node{kind: waiting, at: from, order: 2}
	if delayed {
		n.text = []piece{{yellow, "scheduled for " + Duration(to.Sub(from))}}
	} else {
		n.text = []piece{{yellow, "waited " + Duration(to.Sub(from)) + " for its turn"}}
	}
	return n
}

// scheduled is from when to when the invocation waited before its first attempt,
// and whether it was delayed on purpose.
func (s *story) scheduled() (from, to time.Time, delayed bool) {
	if start := s.span(startSpan); start != nil {
		from, to = start.Time, start.Span.End
	}
	for i, e := range s.events {
		switch s.records[i].says {
		case saysScheduled:
			from, delayed = e.Time, true
		case saysInvoked:
			if to.IsZero() {
				to = e.Time
			}
		}
	}
	return from, to, delayed
}

// nowNode is how an invocation stands that isn't over.
func (s *story) nowNode() *node {
	n := &node{kind: branch, at: s.Now, now: true}
	say := func(c color, text string, since time.Time) *node {
		if !since.IsZero() {
			text += ", for " + Duration(s.Now.Sub(since)) + " so far"
		}
		n.text = []piece{{c, text}}
		return n
	}
	if len(s.tries) == 0 {
		from, to, delayed := s.scheduled()
		if delayed && to.IsZero() {
			say(yellow, "scheduled", from)
			if due := s.due(); !due.IsZero() {
				n.text = append(n.text, piece{plain, dot + "due " + due.UTC().Format(time.RFC3339) + ", " + Until(due.Sub(s.Now))})
			}
			return n
		}
		return say(blue, s.outcomeOr("not over"), time.Time{})
	}
	last := s.tries[len(s.tries)-1]
	if last.how == "running" {
		return say(blue, "running", time.Time{})
	}
	switch w := s.waitAfter(last, time.Time{}); w.why {
	case "suspended":
		return say(yellow, "suspended", w.from)
	case "paused":
		return say(red, "paused until somebody resumes it", w.from)
	case "retry":
		return say(blue, "waiting to be tried again", w.from)
	}
	return say(blue, s.outcomeOr("not over"), time.Time{})
}

// Until says when something is due in d.
func Until(d time.Duration) string {
	if d < 0 {
		return Duration(-d) + " ago"
	}
	return "in " + Duration(d)
}

func (s *story) due() (due time.Time) {
	for _, r := range s.records {
		if !r.wakeUp.IsZero() {
			due = r.wakeUp
		}
	}
	return due
}

func (s *story) outcomeOr(other string) string {
	if o := s.outcome(); o != "" && o != "unknown" {
		return Clean(o)
	}
	return other
}

func levelColor(level string) color {
	switch n := rank(level); {
	case n >= 4:
		return red
	case n == 3:
		return yellow
	case n == 2:
		return plain
	}
	return dim
}

// recordNode is a log line.
func (s *story) recordNode(e *invocation.Event, r *record) *node {
	n := &node{kind: note, at: e.Time}
	if s.Raw {
		rows := detailLines(e.Log.Line)
		n.text, n.detail = []piece{of(plain, rows[0])}, rows[1:]
		return n
	}
	c := levelColor(r.level)
	body := c
	if c == yellow || c == red {
		body = plain
	}
	n.text = []piece{of(c, fmt.Sprintf("%-5s ", r.level)), of(body, r.message)}
	if r.code != "" {
		n.text = append(n.text, of(red, " ["+r.code+"]"))
	}
	if len(r.fields) > 0 {
		n.text = append(n.text, of(dim, " "+strings.Join(r.fields, " ")))
	}
	n.detail = r.detail
	if r.says == saysRetry || r.says == saysPaused && r.code != "" {
		n.error = r.code + " " + strings.Join(r.detail, "\n")
	}
	if extra := len(n.detail) - maxDetail; extra > 0 {
		n.detail = append(n.detail[:maxDetail:maxDetail], fmt.Sprintf("(%d more lines: --raw shows them)", extra))
	}
	if r.stack > 0 {
		n.detail = append(n.detail[:len(n.detail):len(n.detail)], fmt.Sprintf("(and a stack trace of %d lines: --raw shows it)", r.stack))
	}
	return n
}
