package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/invoscope/invoscope/cmd/invoscope/internal/timeline"
)

// outputFlag chooses what a command prints, for people or for programs.
type outputFlag struct {
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json: one object a line (${default})."`
}

func (f outputFlag) json() bool { return f.Output == "json" }

// row writes cells, which may have a stranger's text, into a table.
func row(w io.Writer, cells ...string) {
	for i := range cells {
		cells[i] = timeline.Clean(cells[i])
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// writeLines prints a JSON object a line.
func writeLines[T any](w io.Writer, list ...T) error {
	enc := json.NewEncoder(timeline.JSONWriter(w))
	for _, one := range list {
		if err := enc.Encode(one); err != nil {
			return err
		}
	}
	return nil
}
