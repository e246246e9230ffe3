package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong, where it stands and what it is about.
type Problem struct {
	Line, Column int    // 1-based; 0 when it stands in no file
	Path         string // such as listen.http
	Message      string
}

// Problems are all that is wrong with a configuration.
type Problems struct {
	File string
	List []Problem
}

// Error gives each problem a line of its own: file:line:column: path: message.
func (p *Problems) Error() string {
	list := slices.Clone(p.List)
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	lines := make([]string, len(list))
	for i, one := range list {
		where := ""
		if one.Line > 0 {
			where = fmt.Sprintf("%s:%d:%d: ", p.File, one.Line, one.Column)
		}
		path := ""
		if one.Path != "" {
			path = one.Path + ": "
		}
		lines[i] = where + path + one.Message
	}
	return strings.Join(lines, "\n")
}

// nearest returns the candidate that name is most likely a slip of, or "".
func nearest(name string, candidates []string) string {
	best, bestDistance := "", 1+len(name)/3
	for _, c := range candidates {
		if d := distance(name, c); d <= bestDistance {
			best, bestDistance = c, d-1
		}
	}
	return best
}

// distance is the Levenshtein distance of two short names, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
