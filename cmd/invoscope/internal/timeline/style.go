package timeline

import (
	"bufio"
	"io"
	"strings"
)

// Style is how text is put on a terminal, or elsewhere.
type Style struct {
	Color bool
	Width int  // of the terminal; text beyond is cut. 0: never
	Raw   bool // log lines as they were written
}

// color is a parameter of SGR, the sequence that sets a colour; empty is none.
type color string

const (
	plain  color = ""
	bold   color = "1"
	dim    color = "2"
	red    color = "31"
	green  color = "32"
	yellow color = "33"
	blue   color = "34"
	cyan   color = "36"
)

// piece is text of one colour. It is clean: [text] and [Clean] make it so.
type piece struct {
	color color
	text  string
}

// of makes a piece of text that may be a stranger's.
func of(c color, s string) piece { return piece{c, Clean(s)} }

// Outcome is the colour of an outcome's name.
func outcomeColor(name string) color {
	switch name {
	case "succeeded":
		return green
	case "failed":
		return red
	case "running":
		return blue
	case "suspended", "scheduled":
		return yellow
	case "paused":
		return red
	}
	return plain
}

// printer writes rows. It keeps the first error.
type printer struct {
	out   *bufio.Writer
	style Style
}

func newPrinter(w io.Writer, s Style) *printer { return &printer{bufio.NewWriter(w), s} }

// row writes pieces as one line, cut at the width, without spaces at its end.
func (p *printer) row(pieces ...piece) {
	left, cut := p.style.Width, false
	if left > 0 {
		total := 0
		for _, piece := range pieces {
			total += columns(piece.text)
		}
		if cut = total > left; cut {
			left-- // for the ellipsis
		}
	}
	for len(pieces) > 0 && strings.TrimRight(pieces[len(pieces)-1].text, " ") == "" {
		pieces = pieces[:len(pieces)-1]
	}
	for i, piece := range pieces {
		text := piece.text
		if cut {
			text = fit(text, left)
			left -= columns(text)
		}
		if i == len(pieces)-1 && !cut {
			text = strings.TrimRight(text, " ")
		}
		p.paint(piece.color, text)
		if cut && len(text) < len(piece.text) {
			p.paint(dim, "…")
			break
		}
	}
	p.out.WriteByte('\n') //nolint:errcheck // Flush returns the first error
}

func (p *printer) paint(c color, text string) {
	if text == "" {
		return
	}
	if p.style.Color && c != plain {
		text = "\x1b[" + string(c) + "m" + text + "\x1b[0m"
	}
	p.out.WriteString(text) //nolint:errcheck // Flush returns the first error
}

func (p *printer) flush() error { return p.out.Flush() }
