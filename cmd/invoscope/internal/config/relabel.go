package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/invoscope/invoscope/relay/ingest"
)

// Relabel is one of Prometheus's relabel_configs, with its keys and defaults; see
// "relabel_config" in Prometheus's documentation of its configuration.
type Relabel struct {
	SourceLabels []string `yaml:"source_labels"`
	Separator    string   `yaml:"separator"`
	Regex        string   `yaml:"regex"`
	Modulus      uint64   `yaml:"modulus"`
	TargetLabel  string   `yaml:"target_label"`
	Replacement  string   `yaml:"replacement"`
	Action       string   `yaml:"action"`
}

var relabelActions = []string{
	string(relabel.Replace), string(relabel.Keep), string(relabel.Drop), string(relabel.KeepEqual), string(relabel.DropEqual),
	string(relabel.HashMod), string(relabel.LabelMap), string(relabel.LabelDrop), string(relabel.LabelKeep),
	string(relabel.Lowercase), string(relabel.Uppercase),
}

func (r *Relabel) setDefaults() {
	d := relabel.DefaultRelabelConfig
	*r = Relabel{Separator: d.Separator, Regex: d.Regex.String(), Replacement: d.Replacement, Action: string(d.Action)}
}

// rule returns what Prometheus makes of it, and what is wrong with it: the path
// below its own and the message.
func (r *Relabel) rule() (_ *relabel.Config, key, problem string) {
	rule := relabel.DefaultRelabelConfig
	rule.Separator, rule.Modulus, rule.TargetLabel, rule.Replacement = r.Separator, r.Modulus, r.TargetLabel, r.Replacement
	rule.Action = relabel.Action(strings.ToLower(r.Action))
	if !slices.Contains(relabelActions, string(rule.Action)) {
		return nil, ".action", oneOf(r.Action, relabelActions)
	}
	for i, name := range r.SourceLabels {
		if !labelName.MatchString(name) {
			return nil, fmt.Sprintf(".source_labels[%d]", i), "want a label name, not " + strconv.Quote(name)
		}
		rule.SourceLabels = append(rule.SourceLabels, model.LabelName(name))
	}
	if r.Regex != rule.Regex.String() { // two actions demand the very default
		var err error
		if rule.Regex, err = relabel.NewRegexp(r.Regex); err != nil {
			return nil, ".regex", err.Error()
		}
	}
	if err := rule.Validate(model.LegacyValidation); err != nil {
		return nil, "", err.Error()
	}
	return &rule, "", ""
}

// Relabel returns the rules of the presets and then those of the configuration,
// which must be valid.
func (i Ingest) Relabel() []*relabel.Config {
	rules := ingest.Preset(i.RelabelPresets...)
	for n := range i.RelabelConfigs {
		if rule, _, _ := i.RelabelConfigs[n].rule(); rule != nil {
			rules = append(rules, rule)
		}
	}
	return rules
}

func (i Ingest) relabelProblems(tenantKey string) []Problem {
	var list []Problem
	for n, name := range i.RelabelPresets {
		if !slices.Contains(ingest.Presets(), name) {
			list = append(list, Problem{Path: fmt.Sprintf("ingest.relabel_presets[%d]", n), Message: oneOf(name, ingest.Presets())})
		}
	}
	for n := range i.RelabelConfigs {
		path := fmt.Sprintf("ingest.relabel_configs[%d]", n)
		_, key, problem := i.RelabelConfigs[n].rule()
		if problem == "" && i.RelabelConfigs[n].TargetLabel == tenantKey {
			key, problem = ".target_label", "the token alone says who the tenant is"
		}
		if problem != "" {
			list = append(list, Problem{Path: path + key, Message: problem})
		}
	}
	return list
}
