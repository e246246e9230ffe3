package relay

import (
	"bytes"
	"mime"
	"net/url"
	"strings"
	"sync"

	"github.com/invoscope/invoscope/internal/wire"
	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
)

// queryParams are the parameters, of Loki, Tempo and the invocation API, that say what
// was asked for.
var queryParams = []string{"query", "q", "match[]", "match", "tags", "start", "end", "since", "time", "limit"}

// isQuery reports whether requests to a route ask for something.
func isQuery(route Route) bool {
	return route.Scope == tenancy.LogsRead || route.Scope == tenancy.TracesRead || route.Scope == tenancy.InvocationsRead
}

// query returns what the request asks for, from its URL, its form and its gRPC message.
// Of a body it knows what the handler has read.
func (x *exchange) query() []audit.Param {
	if !isQuery(x.route) {
		return nil
	}
	var params []audit.Param
	if strings.Contains(x.route.Pattern, "{") { // what stands in the path
		params = append(params, audit.Param{Name: "path", Value: pathOf(x.req.URL)})
	}
	if x.req.URL.RawQuery != "" {
		params = appendParams(params, x.req.URL.RawQuery)
	}
	if x.body == nil || x.body.head == nil {
		return params
	}
	body := x.body.head.bytes()
	if x.route.Shape == fault.GRPC {
		return appendMessage(params, x.route.Pattern, body, x.req.Header.Get("Grpc-Encoding"))
	}
	if media, _, err := mime.ParseMediaType(x.req.Header.Get("Content-Type")); err == nil && media == "application/x-www-form-urlencoded" {
		params = appendParams(params, string(body))
	}
	return params
}

// appendParams appends the parameters of an encoded form that are of interest. It
// leaves out what can't be decoded, as the engines do.
func appendParams(params []audit.Param, encoded string) []audit.Param {
	values, _ := url.ParseQuery(encoded)
	for _, name := range queryParams {
		for _, value := range values[name] {
			params = append(params, audit.Param{Name: name, Value: value})
		}
	}
	return params
}

// queryFields are the fields with TraceQL in the requests of tempopb.StreamingQuerier.
var queryFields = map[string]int32{
	"/tempopb.StreamingQuerier/Search":            fieldQuery,
	"/tempopb.StreamingQuerier/SearchTags":        2,
	"/tempopb.StreamingQuerier/SearchTagsV2":      2,
	"/tempopb.StreamingQuerier/SearchTagValues":   2,
	"/tempopb.StreamingQuerier/SearchTagValuesV2": 2,
}

func appendMessage(params []audit.Param, method string, body []byte, encoding string) []audit.Param {
	_, message := readMessage(bytes.NewReader(body), encoding)
	f := wire.Fields{Body: message}
	for f.Next() {
		if f.Number == queryFields[method] && f.Is(f.Number) {
			params = append(params, audit.Param{Name: "query", Value: string(f.Content)})
		}
	}
	return params
}

// bodyHead keeps the beginning of a body. A proxy may go on reading while it is looked at.
type bodyHead struct {
	mu   sync.Mutex
	kept []byte
}

func (h *bodyHead) keep(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = append(h.kept, p[:min(len(p), maxSearch+frameHead-len(h.kept))]...)
}

func (h *bodyHead) bytes() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Clone(h.kept)
}
