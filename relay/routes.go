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
	// Long says that an answer may go on for hours: it is cut off when its token ends.
	Long bool

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
	{Pattern: "/api/invoscope/v1/openapi.yaml", serve: invocations((*invocation.API).OpenAPI)},
}

// lokiQueries are the rows that go to Loki as they are; see "Loki HTTP API" in
// its documentation.
var lokiQueries = []Route{
	{Methods: "GET POST", Pattern: "/loki/api/v1/query"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/query_range"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/labels"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/label/{name}/values"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/series"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/index/stats"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/index/volume"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/index/volume_range"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/patterns"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/detected_labels"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/detected_fields"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/detected_field/{name}/values"},
	{Methods: "GET POST", Pattern: "/loki/api/v1/format_query"},
	{Methods: "GET", Pattern: tailPath, Long: true},
	{Methods: "GET", Pattern: "/loki/api/v1/drilldown-limits"},
	{Methods: "GET", Pattern: "/loki/api/v1/status/buildinfo"},
}

// tempoQueries are the rows that go to Tempo, as they are, once checked, or
// narrowed (lookup.go); see "Tempo HTTP API" in its documentation, and tempopb.StreamingQuerier for the gRPC methods, which
// Grafana calls on the same port.
var tempoQueries = []Route{
	{Methods: "GET", Pattern: "/api/echo"},
	{Methods: "GET", Pattern: "/api/status/buildinfo"},
	{Methods: "GET", Pattern: "/api/traces/{id}"},
	{Methods: "GET", Pattern: "/api/v2/traces/{id}"},
	{Methods: "GET", Pattern: "/api/search", serve: tempoSearch},
	{Methods: "GET", Pattern: "/api/search/tags"},
	{Methods: "GET", Pattern: "/api/search/tag/{name}/values"},
	{Methods: "GET", Pattern: "/api/v2/search/tags"},
	{Methods: "GET", Pattern: "/api/v2/search/tag/{name}/values"},
	{Methods: "GET", Pattern: "/api/metrics/query", serve: tempoMetrics},
	{Methods: "GET", Pattern: "/api/metrics/query_range", serve: tempoMetrics},
	{Methods: "GET", Pattern: "/api/metrics/summary"},
	{Methods: "POST", Pattern: "/tempopb.StreamingQuerier/Search", Shape: fault.GRPC, Long: true, serve: tempoStreamingSearch},
	{Methods: "POST", Pattern: "/tempopb.StreamingQuerier/SearchTags", Shape: fault.GRPC, Long: true},
	{Methods: "POST", Pattern: "/tempopb.StreamingQuerier/SearchTagsV2", Shape: fault.GRPC, Long: true},
	{Methods: "POST", Pattern: "/tempopb.StreamingQuerier/SearchTagValues", Shape: fault.GRPC, Long: true},
	{Methods: "POST", Pattern: "/tempopb.StreamingQuerier/SearchTagValuesV2", Shape: fault.GRPC, Long: true},
	// MetricsQueryRange and MetricsQueryInstant are left out until their requests
	// are checked as those of /api/metrics are. Grafana is provisioned not to
	// stream metrics.
}
