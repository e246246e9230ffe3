package relay

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
)

// maxExemplars is the most exemplars that a TraceQL metrics query may ask for.
// Tempo returns 100 by default.
const maxExemplars = 1000

// exemplarsHint finds the hint in a TraceQL query, and the number it is set to.
// TraceQL allows comments between the two: they are found, too, because what
// comes after one can't be told without TraceQL's whole lexer.
var exemplarsHint = regexp.MustCompile(`exemplars\s*(?:/[/*]|=\s*(?:/[/*]|([0-9]+)))`)

// tempoMetrics passes metrics queries on to Tempo, but for those whose hint
// `with(exemplars=N)` asks for too many: Tempo 2.9 allocates a map for N,
// whatever N is.
func tempoMetrics(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		params := req.URL.Query()
		for _, name := range []string{"q", "query"} {
			for _, query := range params[name] {
				if err := checkExemplars(query); err != nil {
					return err
				}
			}
		}
		return r.tempo(w, req, id)
	}
}

func checkExemplars(query string) error {
	for _, hint := range exemplarsHint.FindAllStringSubmatch(query, -1) {
		number := hint[1]
		if number == "" {
			return fault.New(fault.Invalid, "the query has a comment after the hint exemplars")
		}
		// The only error is that the number is out of range.
		if n, err := strconv.ParseUint(number, 10, 32); err != nil || n > maxExemplars {
			return fault.New(fault.Invalid, fmt.Sprintf("the query's hint exemplars is larger than %d", maxExemplars))
		}
	}
	return nil
}
