package invocation

import (
	"errors"
	"net/http"
	"strings"

	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/relay/fault"
)

const (
	defaultInvocations = 100
	maxInvocations     = 1000
)

// List answers a page of invocations, the latest first.
func (a *API) List(w http.ResponseWriter, r *http.Request, tenant string) error {
	p, err := parseParams(r, "from", "to", "since", "target", "outcome", "error_code", "id", "limit", "cursor")
	if err != nil {
		return err
	}
	q, err := a.query(p)
	if err != nil {
		return err
	}
	page, err := a.opts.Index.List(r.Context(), tenant, q)
	if errors.Is(err, index.ErrCursor) {
		return fault.New(fault.Invalid, "the cursor is not one that a listing returned")
	}
	if err != nil {
		return indexFault(err)
	}
	answer := Page{Invocations: make([]Summary, 0, len(page.Records)), Next: page.Next}
	for i := range page.Records {
		answer.Invocations = append(answer.Invocations, summarize(&page.Records[i]))
	}
	return writeJSON(w, answer)
}

func (a *API) query(p params) (q index.Query, err error) {
	if q.From, q.To, err = p.span(a.opts.Now()); err != nil {
		return q, err
	}
	if q.Outcomes, err = outcomes(p.list("outcome")); err != nil {
		return q, err
	}
	if q.Limit, err = p.number("limit", maxInvocations); err != nil {
		return q, err
	}
	if q.Limit == 0 {
		q.Limit = defaultInvocations
	}
	q.Target = p.values.Get("target")
	q.ErrorCode = p.values.Get("error_code")
	q.Text = p.values.Get("id")
	q.Cursor = p.values.Get("cursor")
	return q, nil
}

func outcomes(names []string) ([]index.Outcome, error) {
	var all []index.Outcome
	for _, name := range names {
		o, ok := index.ParseOutcome(name)
		if !ok {
			return nil, invalid("unknown outcome %s (valid: %s)", quote(name), strings.Join(outcomeNames(), ", "))
		}
		all = append(all, o)
	}
	return all, nil
}

// outcomeNames are those of all outcomes. Numbers beyond them have the first's.
func outcomeNames() []string {
	var names []string
	for o := index.Unknown; o == index.Unknown || o.String() != index.Unknown.String(); o++ {
		names = append(names, o.String())
	}
	return names
}
