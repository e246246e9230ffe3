package relay

// expected is what becomes of a request to a route whose path is spelled as it should be.
type expected struct {
	valid        string // of a token that may do it, or of nobody on an open route
	reaches      string // who is asked then: loki, tempo, logs, traces; none if empty
	unknown      string // who the caller is isn't known
	notHere      string // the caller is known, and this is another tenant's host
	missingScope string
	http1        string // over HTTP/1.1, if that is always the same
}

// elsewhere is what becomes of a request whose path isn't spelled as it should be,
// whoever asks.
const elsewhere = "404"

func open() expected { return expected{"200", "", "200", "200", "200", ""} }

func needsToken(valid, reaches string) expected {
	return expected{valid, reaches, "401", "403", "403", ""}
}

func needsTokenGRPC(valid, reaches string) expected {
	return expected{valid, reaches, "grpc 16", "grpc 7", "grpc 7", "415"}
}

// expectations is the one table of what is expected. A route that isn't in it fails
// TestMatrix, and so does a row without a route.
func expectations() map[string]expected {
	loki, tempo := needsToken("200", "loki"), needsToken("200", "tempo")
	stream := needsTokenGRPC("200", "tempo") // the fake engine says no more
	return map[string]expected{
		"GET /ready": open(),

		"POST /loki/api/v1/push": needsToken("204", "logs"),
		"POST /v1/logs":          needsToken("200", "logs"),
		"POST /v1/traces":        needsToken("200", "traces"),
		"POST /otlp/v1/logs":     needsToken("200", "logs"),
		"POST /otlp/v1/traces":   needsToken("200", "traces"),

		"POST /opentelemetry.proto.collector.logs.v1.LogsService/Export":   needsTokenGRPC("grpc 0", "logs"),
		"POST /opentelemetry.proto.collector.trace.v1.TraceService/Export": needsTokenGRPC("grpc 0", "traces"),

		"POST /api/invoscope/v1/index/rebuild": needsToken("400", ""),

		"GET /api/invoscope/v1/invocations":               needsToken("200", ""),
		"GET /api/invoscope/v1/invocations/{id}":          needsToken("404", ""),
		"GET /api/invoscope/v1/invocations/{id}/timeline": needsToken("404", ""),
		"GET /api/invoscope/v1/invocations/{id}/links":    needsToken("404", ""),
		"GET /api/invoscope/v1/openapi.yaml":              needsToken("200", ""),

		"GET /loki/api/v1/query":                         loki,
		"POST /loki/api/v1/query":                        loki,
		"GET /loki/api/v1/query_range":                   loki,
		"POST /loki/api/v1/query_range":                  loki,
		"GET /loki/api/v1/labels":                        loki,
		"POST /loki/api/v1/labels":                       loki,
		"GET /loki/api/v1/label/{name}/values":           loki,
		"POST /loki/api/v1/label/{name}/values":          loki,
		"GET /loki/api/v1/series":                        loki,
		"POST /loki/api/v1/series":                       loki,
		"GET /loki/api/v1/index/stats":                   loki,
		"POST /loki/api/v1/index/stats":                  loki,
		"GET /loki/api/v1/index/volume":                  loki,
		"POST /loki/api/v1/index/volume":                 loki,
		"GET /loki/api/v1/index/volume_range":            loki,
		"POST /loki/api/v1/index/volume_range":           loki,
		"GET /loki/api/v1/patterns":                      loki,
		"POST /loki/api/v1/patterns":                     loki,
		"GET /loki/api/v1/detected_labels":               loki,
		"POST /loki/api/v1/detected_labels":              loki,
		"GET /loki/api/v1/detected_fields":               loki,
		"POST /loki/api/v1/detected_fields":              loki,
		"GET /loki/api/v1/detected_field/{name}/values":  loki,
		"POST /loki/api/v1/detected_field/{name}/values": loki,
		"GET /loki/api/v1/format_query":                  loki,
		"POST /loki/api/v1/format_query":                 loki,
		"GET /loki/api/v1/tail":                          loki,
		"GET /loki/api/v1/drilldown-limits":              loki,
		"GET /loki/api/v1/status/buildinfo":              loki,

		"GET /api/echo":                        tempo,
		"GET /api/status/buildinfo":            tempo,
		"GET /api/traces/{id}":                 tempo,
		"GET /api/v2/traces/{id}":              tempo,
		"GET /api/search":                      tempo,
		"GET /api/search/tags":                 tempo,
		"GET /api/search/tag/{name}/values":    tempo,
		"GET /api/v2/search/tags":              tempo,
		"GET /api/v2/search/tag/{name}/values": tempo,
		"GET /api/metrics/query":               tempo,
		"GET /api/metrics/query_range":         tempo,
		"GET /api/metrics/summary":             tempo,

		"POST /tempopb.StreamingQuerier/Search":            stream,
		"POST /tempopb.StreamingQuerier/SearchTags":        stream,
		"POST /tempopb.StreamingQuerier/SearchTagsV2":      stream,
		"POST /tempopb.StreamingQuerier/SearchTagValues":   stream,
		"POST /tempopb.StreamingQuerier/SearchTagValuesV2": stream,
	}
}
