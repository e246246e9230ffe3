package relay

import (
	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/relay/invocation"
	"github.com/invoscope/invoscope/tenancy"
)

// Route is one row of the table: one endpoint and what it needs.
type Route struct {
	// Methods are the HTTP methods, separated by a space.
	Methods string
	// Pattern is a path as net/http.ServeMux understands it.
	Pattern string
	// Scope is what the token must carry. Only a route without one is open to
	// callers without a token.
	Scope tenancy.Scope
	// Shape is how errors are written.
	Shape fault.Shape
	// OTLP says that the OTLP/HTTP port serves it too.
	OTLP bool
	// Long says that an answer may go on for hours. It is never whole when its token ends.
	Long bool
	// Free says that a request costs next to nothing, and doesn't count as a query.
	Free bool

	// check refuses a query that asks for more than its tenants may; nil if nothing
	// in it can be too much, or if serve does it.
	check check
	serve func(*Relay) handler
}

// Routes is the table: everything that the public port answers.
func Routes() []Route {
	routes := []Route{
		{Methods: "GET", Pattern: "/ready", serve: ready},

		{Methods: "POST", Pattern: "/loki/api/v1/push", Scope: tenancy.LogsWrite, serve: lokiPush},
		{Methods: "POST", Pattern: "/v1/logs", Scope: tenancy.LogsWrite, Shape: fault.OTLP, OTLP: true, serve: otlpLogs},
		{Methods: "POST", Pattern: "/v1/traces", Scope: tenancy.TracesWrite, Shape: fault.OTLP, OTLP: true, serve: otlpTraces},
		{Methods: "POST", Pattern: "/otlp/v1/logs", Scope: tenancy.LogsWrite, Shape: fault.OTLP, OTLP: true, serve: otlpLogs},
		{Methods: "POST", Pattern: "/otlp/v1/traces", Scope: tenancy.TracesWrite, Shape: fault.OTLP, OTLP: true, serve: otlpTraces},
		{Methods: "POST", Pattern: "/opentelemetry.proto.collector.logs.v1.LogsService/Export", Scope: tenancy.LogsWrite, Shape: fault.GRPC, serve: otlpGRPC},
		{Methods: "POST", Pattern: "/opentelemetry.proto.collector.trace.v1.TraceService/Export", Scope: tenancy.TracesWrite, Shape: fault.GRPC, serve: otlpGRPC},

		{Methods: "POST", Pattern: "/api/invoscope/v1/index/rebuild", Scope: tenancy.Admin, Shape: fault.JSON, serve: rebuildIndex},
	}
	for _, r := range invocationQueries {
		r.Methods, r.Scope, r.Shape = "GET", tenancy.InvocationsRead, fault.JSON
		routes = append(routes, r)
	}
	for _, r := range lokiQueries {
		r.Scope, r.serve = tenancy.LogsRead, toLoki
		routes = append(routes, r)
	}
	for _, r := range tempoQueries {
		r.Scope = tenancy.TracesRead
		if r.serve == nil {
			r.serve = toTempo
		}
		routes = append(routes, r)
	}
	return routes
}

// invocationQueries are the rows of the invocation API, as openapi.yaml in
// relay/invocation describes them.
var invocationQueries = []Route{
	{Pattern: "/api/invoscope/v1/invocations", serve: invocations((*invocation.API).List)},
	{Pattern: "/api/invoscope/v1/invocations/{id}", serve: invocations((*invocation.API).Show)},
	{Pattern: "/api/invoscope/v1/invocations/{id}/timeline", Long: true, serve: invocations((*invocation.API).Timeline)},
	{Pattern: "/api/invoscope/v1/invocations/{id}/links", serve: invocations((*invocation.API).Links)},
	{Pattern: "/api/invoscope/v1/openapi.yaml", Free: true, serve: invocations((*invocation.API).OpenAPI)},
}

// lokiQueries are the rows that go to Loki as they are; see "Loki HTTP API" in
// its documentation.
var lokiQueries = []Route{
	{Methods: "GET POST", Pattern: "/loki/api/v1/query", check: lokiInstant},
	{Methods: "GET POST", Pattern: "/loki/api/v1/query_range", check: lokiLines},
	{Methods: "GET POST", Pattern: "/loki/api/v1/labels", check: lokiRange},
	{Methods: "GET POST", Pattern: "/loki/api/v1/label/{name}/values", check: lokiRange},
	{Methods: "GET POST", Pattern: "/loki/api/v1/series", check: lokiRange},
	{Methods: "GET POST", Pattern: "/loki/api/v1/index/stats", check: lokiRange},
	{Methods: "GET POST", Pattern: "/loki/api/v1/index/volume", check: lokiRange},
	{Methods: "GET POST", Pattern: "/loki/api/v1/index/volume_range", check: lokiRange},
	{Methods: "GET POST", Pattern: "/loki/api/v1/patterns", check: lokiRange},
	{Methods: "GET POST", Pattern: "/loki/api/v1/detected_labels", check: lokiRange},
	{Methods: "GET POST", Pattern: "/loki/api/v1/detected_fields", check: lokiSamples},
	{Methods: "GET POST", Pattern: "/loki/api/v1/detected_field/{name}/values", check: lokiSamples},
	{Methods: "GET POST", Pattern: "/loki/api/v1/format_query", Free: true},
	{Methods: "GET", Pattern: tailPath, Long: true, check: lokiLines},
	{Methods: "GET", Pattern: "/loki/api/v1/drilldown-limits", Free: true},
	{Methods: "GET", Pattern: "/loki/api/v1/status/buildinfo", Free: true},
}

// tempoQueries are the rows that go to Tempo, as they are, once checked, or
// narrowed (lookup.go); see "Tempo HTTP API" in its documentation, and tempopb.StreamingQuerier for the gRPC methods, which
// Grafana calls on the same port.
var tempoQueries = []Route{
	{Methods: "GET", Pattern: "/api/echo", Free: true},
	{Methods: "GET", Pattern: "/api/status/buildinfo", Free: true},
	{Methods: "GET", Pattern: "/api/traces/{id}"},
	{Methods: "GET", Pattern: "/api/v2/traces/{id}"},
	{Methods: "GET", Pattern: "/api/search", serve: tempoSearch},
	{Methods: "GET", Pattern: "/api/search/tags", check: tempoTagsRange},
	{Methods: "GET", Pattern: "/api/search/tag/{name}/values", check: tempoTagsRange},
	{Methods: "GET", Pattern: "/api/v2/search/tags", check: tempoTagsRange},
	{Methods: "GET", Pattern: "/api/v2/search/tag/{name}/values", check: tempoTagsRange},
	{Methods: "GET", Pattern: "/api/metrics/query", serve: tempoMetrics, check: tempoMetricsRange},
	{Methods: "GET", Pattern: "/api/metrics/query_range", serve: tempoMetrics, check: tempoMetricsRange},
	{Methods: "GET", Pattern: "/api/metrics/summary", check: tempoTagsRange},
	{Methods: "POST", Pattern: "/tempopb.StreamingQuerier/Search", Shape: fault.GRPC, Long: true, serve: tempoStreamingSearch},
	{Methods: "POST", Pattern: "/tempopb.StreamingQuerier/SearchTags", Shape: fault.GRPC, Long: true, check: grpcTags},
	{Methods: "POST", Pattern: "/tempopb.StreamingQuerier/SearchTagsV2", Shape: fault.GRPC, Long: true, check: grpcTags},
	{Methods: "POST", Pattern: "/tempopb.StreamingQuerier/SearchTagValues", Shape: fault.GRPC, Long: true, check: grpcTagValues},
	{Methods: "POST", Pattern: "/tempopb.StreamingQuerier/SearchTagValuesV2", Shape: fault.GRPC, Long: true, check: grpcTagValues},
	// MetricsQueryRange and MetricsQueryInstant are left out until their requests
	// are checked as those of /api/metrics are. Grafana is provisioned not to
	// stream metrics.
}
