package invocation

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/invoscope/invoscope/correlate"
	"github.com/invoscope/invoscope/correlate/index"
	"github.com/invoscope/invoscope/grafana"
	"github.com/invoscope/invoscope/relay/fault"
)

// Links answers where Grafana shows the invocation.
func (a *API) Links(w http.ResponseWriter, r *http.Request, tenant string) error {
	id, _, err := parse(r)
	if err != nil {
		return err
	}
	if a.opts.GrafanaURL == "" {
		return fault.New(fault.NotFound, "there are no links: grafana.url is not set in the server's configuration")
	}
	rec, err := a.record(r.Context(), tenant, id)
	if err != nil {
		return err
	}
	links, err := a.links(tenant, &rec)
	if err != nil {
		return fmt.Errorf("make links: %w", err)
	}
	return writeJSON(w, links)
}

func (a *API) links(tenant string, rec *index.Record) (links Links, err error) {
	explore := grafana.Explore{URL: a.opts.GrafanaURL, Tenant: tenant}
	from, to := a.extent(rec)
	lines := selector(a.opts.TenantKey, tenant) + " | " + correlate.MetaInvocationID + "=`" + rec.ID.String() + "`"
	if links.Logs, err = explore.Logs(lines, timeOf(from), timeOf(to)); err != nil {
		return links, err
	}
	traces := slices.Clone(rec.Traces)
	slices.SortStableFunc(traces, func(x, y index.Trace) int { return int(max(-1, min(1, y.From-x.From))) })
	links.Traces = []string{}
	for _, t := range traces {
		link, err := explore.Trace(t.ID.String(), timeOf(t.From-int64(pad)), timeOf(min(t.To, lastTime)+int64(pad)))
		if err != nil {
			return links, err
		}
		links.Traces = append(links.Traces, link)
	}
	return links, nil
}

// pad is how far around what the index knows is looked for more: lines of user
// services whose clocks differ, and what their spans outlast ours.
const pad = time.Minute

// extent is from when to when something of the invocation may be found, in
// nanoseconds since 1970.
func (a *API) extent(rec *index.Record) (from, to int64) {
	from, to = rec.FirstSeen, rec.LastSeen
	for _, t := range rec.Traces {
		from, to = min(from, t.From), max(to, t.To)
	}
	switch rec.Outcome() {
	case index.Running, index.Unknown: // something may be there that nobody has told the index of
		to = max(to, a.opts.Now().UnixNano())
	}
	return min(from, lastTime) - int64(pad), min(to, lastTime) + int64(pad)
}
