package relay

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/invoscope/invoscope/tenancy"
)

var update = flag.Bool("update", false, "write docs/endpoints.md anew")

// lookupsDocumented is the part of docs/endpoints.md on relay/lookup.go.
const lookupsDocumented = `
## Searches for an invocation

A search, over ` + "`/api/search`" + ` or ` + "`/tempopb.StreamingQuerier/Search`" + `, whose TraceQL is exactly

` + "```" + `
{ .restate.invocation.id="inv_1…" }
` + "```" + `

(or with the scope ` + "`span`" + `, the name in double quotes, the id in back quotes, the operands in the other
order, other white space) is a lookup: if the invocation index knows the id's traces,
` + "`start`" + ` and ` + "`end`" + ` become the time of these, and the attribute gets the scope ` + "`span`" + `. So an
invocation is found whatever range was asked for. What was asked for of the time before
the tenant's earliest known invocation, or before the index last missed something since
the daemon's start, stays in the range: an id that comes from a key can run more than
once, and the index may know only some of that. The answer is Tempo's own to that
search. Any other search reaches Tempo as it came.

The answer's header ` + "`X-Invoscope-Lookup`" + ` (over gRPC, its metadata) says what became of such a
search, and the metric ` + "`invoscope_relay_lookups_total`" + ` counts it:

| result | the search is | because |
|---|---|---|
| ` + "`narrowed`" + ` | changed | |
| ` + "`unknown`" + ` | as it came | the index knows no trace in which the invocation ran, in this tenant |
| ` + "`wide`" + ` | as it came | the range would be longer than a week, which Tempo may refuse, and than the one asked for |
| ` + "`off`" + ` | as it came | the request has the header ` + "`X-Invoscope-Lookup: off`" + `, or lookups are off for the tenant |
| ` + "`error`" + ` | as it came | the index failed, or took longer than 250 ms |

A Tempo that you run yourself enters spans that reach it later than
` + "`storage.trace.wal.ingestion_time_range_slack`" + ` (2 minutes by default; the embedded one has its
retention there) under the time at which they came, where a search for their own time
doesn't look. Raise it, or turn lookups off.
`

// severalDocumented is the part on relay/federation.go. TestOneTokenReadsSeveralTenants
// looks that it is so.
const severalDocumented = `
## Several tenants

A token that reads several tenants, at most 64 at once, gets one answer for all of them, in which
Loki adds the label ` + "`__tenant_id__`" + `. Their searches aren't narrowed. The invocation API wants
one of them, ` + "`?tenant=`" + `. Some endpoints of Loki 3.7.8 and Tempo 2.9.0 don't take several:

| endpoint | answers |
|---|---|
| ` + "`/loki/api/v1/tail`" + ` | 400 ` + "`multiple org IDs present`" + ` |
| ` + "`/loki/api/v1/drilldown-limits`" + ` | 401 ` + "`multiple org IDs present`" + ` |
| ` + "`/api/metrics/summary`" + ` | 400 ` + "`multi-tenant query unsupported`" + ` |

An engine that you run yourself needs ` + "`querier.multi_tenant_queries_enabled`" + ` (Loki) or
` + "`query_frontend.multi_tenant_queries_enabled`" + ` (Tempo, where it is the default).
`

// TestEndpointsAreDocumented keeps docs/endpoints.md what the table says.
func TestEndpointsAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Endpoints

Everything that the public port answers, generated from the table in
[relay/routes.go](../relay/routes.go) (` + "`go test ./relay -update`" + `). Any other path is 404.
The OTLP/HTTP port serves the rows marked OTLP, the OTLP/gRPC port the two
` + "`Export`" + ` methods.

| method | path | scope | |
|---|---|---|---|
`)
	for _, r := range Routes() {
		scope, note := "none", ""
		if r.Scope != "" {
			scope = "`" + string(r.Scope) + "`"
		}
		if r.OTLP {
			note = "OTLP"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", strings.ReplaceAll(r.Methods, " ", ", "), r.Pattern, scope, note)
	}
	b.WriteString(lookupsDocumented)
	b.WriteString(severalDocumented)
	file := filepath.Join("..", "docs", "endpoints.md")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), b.String()); diff != "" {
		t.Errorf("docs/endpoints.md is not what the table says; run go test ./relay -update:\n%s", diff)
	}
}

// TestInvocationRoutesAreDescribed keeps the OpenAPI document and the table the
// same.
func TestInvocationRoutesAreDescribed(t *testing.T) {
	const prefix = "/api/invoscope/v1/"
	f := newFixture(t)
	r := httptest.NewRequest(http.MethodGet, prefix+"openapi.yaml", nil)
	r.Header.Set("Authorization", "Bearer good")
	resp := f.do(r)
	var document struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	if err := yaml.NewDecoder(resp.Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, route := range Routes() {
		if strings.HasPrefix(route.Pattern, prefix) && route.Scope == tenancy.InvocationsRead {
			want = append(want, route.Methods+" "+route.Pattern)
		}
	}
	for path, operations := range document.Paths {
		for method := range operations {
			if method != "parameters" {
				got = append(got, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 5 {
		t.Errorf("the table and the document differ (-table +document):\n%s", diff)
	}
}
