package grafana

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// mainOrg is the organisation that provisioning puts data sources into unless it
// says another, and ours doesn't.
const mainOrg = "1"

// Explore makes links to Grafana's Explore that show data of one tenant, in the
// data sources of [DataSources]. Grafana documents the form under "Generate
// Explore URLs from external tools".
type Explore struct {
	URL    string // Grafana's own, with a path if it is below one
	Tenant string
}

type pane struct {
	DataSource string    `json:"datasource"`
	Queries    []query   `json:"queries"`
	Range      timeRange `json:"range"`
}

type query struct {
	RefID      string        `json:"refId"`
	DataSource dataSourceRef `json:"datasource"`
	QueryType  string        `json:"queryType"`
	Expr       string        `json:"expr,omitempty"`  // Loki's
	Query      string        `json:"query,omitempty"` // Tempo's
}

type dataSourceRef struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// timeRange holds milliseconds since 1970.
type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Logs is a link to what a LogQL query finds.
func (e Explore) Logs(logQL string, from, to time.Time) (string, error) {
	return e.link("loki", query{QueryType: "range", Expr: logQL}, from, to)
}

// Trace is a link to a trace, given its id in hexadecimal: TraceQL's editor takes
// an id alone for the trace.
func (e Explore) Trace(id string, from, to time.Time) (string, error) {
	return e.link("tempo", query{QueryType: "traceql", Query: id}, from, to)
}

func (e Explore) link(kind string, q query, from, to time.Time) (string, error) {
	base, err := url.Parse(e.URL)
	if err != nil {
		return "", fmt.Errorf("parse Grafana's URL: %w", err)
	}
	source := string(uid(e.Tenant, kind))
	q.RefID, q.DataSource = "A", dataSourceRef{Type: kind, UID: source}
	panes, err := json.Marshal(map[string]pane{"invocation": {
		DataSource: source,
		Queries:    []query{q},
		Range:      timeRange{From: milliseconds(from), To: milliseconds(to.Add(time.Millisecond - 1))},
	}})
	if err != nil {
		return "", fmt.Errorf("encode a pane: %w", err)
	}
	base.Path = strings.TrimSuffix(base.Path, "/") + "/explore"
	base.RawPath = ""
	base.RawQuery = url.Values{"schemaVersion": {"1"}, "panes": {string(panes)}, "orgId": {mainOrg}}.Encode()
	return base.String(), nil
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
