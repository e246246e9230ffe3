package ingest

import (
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"
)

// labelContainer is the label by which the published queries select Restate's
// logs.
const labelContainer = "kubernetes_container_name"

// presets are, by name, the labels that say the container's name in what senders
// of a kind send. The first that a stream has counts.
var presets = []struct {
	name   string
	labels model.LabelNames
}{
	// The OTLP attribute k8s.container.name; Alloy, Promtail and Fluent Bit; a
	// Promtail that maps all it discovers.
	{"kubernetes", model.LabelNames{"k8s_container_name", "container", "__meta_kubernetes_pod_container_name"}},
	// Docker's log driver for Loki and the OTLP attribute container.name; Docker
	// service discovery, whose names begin with a slash.
	{"docker", model.LabelNames{"container_name", "__meta_docker_container_name"}},
}

// Presets returns the names of the sets of rules that [Preset] knows.
func Presets() []string {
	var names []string
	for _, p := range presets {
		names = append(names, p.name)
	}
	return names
}

// Preset returns the rules of the named presets, never nil. Each gives a stream
// the label kubernetes_container_name when it has none.
func Preset(names ...string) []*relabel.Config {
	rules := []*relabel.Config{}
	for _, p := range presets {
		if !slices.Contains(names, p.name) {
			continue
		}
		for _, from := range p.labels {
			rule := relabel.DefaultRelabelConfig
			rule.SourceLabels = model.LabelNames{labelContainer, from}
			rule.Regex = relabel.MustNewRegexp(";/?([^/].*)") // nothing before the separator
			rule.TargetLabel = labelContainer
			rule.NameValidationScheme = model.LegacyValidation
			rules = append(rules, &rule)
		}
	}
	return rules
}
