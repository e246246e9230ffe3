package grafana

import "strings"

// literal is a value that Grafana shall take as it is. Grafana expands $NAME,
// ${NAME} and $__provider{…} in every value of a provisioning file; there "$$"
// stands for a dollar sign.
// https://grafana.com/docs/grafana/latest/administration/provisioning/
type literal string

// MarshalYAML escapes the value, so that no field can forget to.
func (l literal) MarshalYAML() (any, error) { return escape(string(l)), nil }

func escape(s string) string { return strings.ReplaceAll(s, "$", "$$") }

// file is a data source provisioning file.
type file struct {
	APIVersion  int          `yaml:"apiVersion"`
	DataSources []dataSource `yaml:"datasources"`
}

type dataSource struct {
	Name       literal    `yaml:"name"`
	Type       literal    `yaml:"type"`
	UID        literal    `yaml:"uid"`
	Access     literal    `yaml:"access"`
	URL        literal    `yaml:"url"`
	Editable   bool       `yaml:"editable"`
	JSONData   any        `yaml:"jsonData"` // lokiData or tempoData
	SecureData secureData `yaml:"secureJsonData"`
}

// secureData is what Grafana encrypts in its database.
type secureData struct {
	// HeaderValue is already escaped: it may refer to a variable.
	HeaderValue string `yaml:"httpHeaderValue1"`
	// CACert is PEM: who vouches for the URL's server.
	CACert literal `yaml:"tlsCACert,omitempty"`
}

type lokiData struct {
	HeaderName    literal        `yaml:"httpHeaderName1"`
	WithCACert    bool           `yaml:"tlsAuthWithCACert,omitempty"`
	DerivedFields []derivedField `yaml:"derivedFields"`
}

// derivedField is a link that Grafana puts on log lines.
type derivedField struct {
	Name          literal `yaml:"name"`
	MatcherType   literal `yaml:"matcherType"`
	MatcherRegex  literal `yaml:"matcherRegex"`
	Query         literal `yaml:"url"` // with a data source, "url" is the query to send there
	DataSourceUID literal `yaml:"datasourceUid"`
	Label         literal `yaml:"urlDisplayLabel"`
}

type tempoData struct {
	HeaderName   literal      `yaml:"httpHeaderName1"`
	WithCACert   bool         `yaml:"tlsAuthWithCACert,omitempty"`
	TracesToLogs tracesToLogs `yaml:"tracesToLogsV2"`
	NodeGraph    nodeGraph    `yaml:"nodeGraph"`
	SpanBar      spanBar      `yaml:"spanBar"`
	Streaming    streaming    `yaml:"streamingEnabled"`
}

// tracesToLogs is the link from a span to its log lines.
type tracesToLogs struct {
	DataSourceUID      literal `yaml:"datasourceUid"`
	SpanStartTimeShift literal `yaml:"spanStartTimeShift"`
	SpanEndTimeShift   literal `yaml:"spanEndTimeShift"`
	FilterByTraceID    bool    `yaml:"filterByTraceID"`
	FilterBySpanID     bool    `yaml:"filterBySpanID"`
	CustomQuery        bool    `yaml:"customQuery"`
	Query              literal `yaml:"query"`
}

type nodeGraph struct {
	Enabled bool `yaml:"enabled"`
}

// spanBar is what stands next to a span's name in a trace view.
type spanBar struct {
	Type literal `yaml:"type"`
	Tag  literal `yaml:"tag"`
}

type streaming struct {
	Search  bool `yaml:"search"`
	Metrics bool `yaml:"metrics"`
}
