package timeline

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/invoscope/invoscope/relay/invocation"
)

// ListOptions says how a listing is shown.
type ListOptions struct {
	Style
	Now      time.Time
	Absolute bool // times in RFC 3339 rather than as ages
}

// gutter is between columns.
const gutter = 2

// WriteList prints invocations as a table.
func WriteList(w io.Writer, found []invocation.Summary, o ListOptions) error {
	p := newPrinter(w, o.Style)
	if len(found) == 0 {
		p.row(piece{plain, "no invocations"})
		return p.flush()
	}
	rows := [][]piece{{{bold, "ID"}, {bold, "OUTCOME"}, {bold, "TARGET"}, {bold, "FIRST SEEN"}, {bold, "LAST SEEN"}, {bold, "ATTEMPTS"}, {bold, "LAST ERROR"}}}
	for i := range found {
		rows = append(rows, o.row(&found[i]))
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell.text))
		}
	}
	for _, row := range rows {
		var line []piece
		for i, cell := range row {
			pad := widths[i] - columns(cell.text) + gutter
			line = append(line, cell, piece{plain, strings.Repeat(" ", pad)})
		}
		p.row(line...)
	}
	return p.flush()
}

func (o *ListOptions) row(s *invocation.Summary) []piece {
	return []piece{
		of(plain, s.ID), of(outcomeColor(s.Outcome), s.Outcome), of(plain, s.Target), {plain, o.time(s.FirstSeen)},
		{plain, o.time(s.LastSeen)}, {plain, strconv.Itoa(s.AttemptsSeen)}, of(red, errorText(s.Error)),
	}
}

func (o *ListOptions) time(t time.Time) string {
	if o.Absolute {
		return t.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return Age(o.Now.Sub(t))
}

// Age says how long ago something was.
func Age(d time.Duration) string {
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s ago"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m ago"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h ago"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + "d ago"
}

// errorText is an error in one line.
func errorText(e *invocation.Error) string {
	if e == nil {
		return ""
	}
	var parts []string
	if e.Code != "" {
		parts = append(parts, e.Code)
	}
	if e.Status != "" {
		parts = append(parts, "["+e.Status+"]")
	}
	if e.Message != "" {
		parts = append(parts, strings.Join(strings.Fields(e.Message), " "))
	}
	return strings.Join(parts, " ")
}
