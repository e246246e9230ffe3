package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

func TestRelabelConfigsAreThoseOfPrometheus(t *testing.T) {
	c, err := load(t, `
ingest:
  relabel_presets: [kubernetes]
  relabel_configs:
  - source_labels: [namespace, pod]
    separator: /
    target_label: where
  - {regex: pod, action: LabelDrop}
  - {source_labels: [env], regex: 'dev-(.+)', replacement: '${1}', target_label: env}
  - {source_labels: [noise], regex: "yes", action: drop}
  - {source_labels: [x], target_label: y, action: keepequal}
  - {source_labels: [gone], target_label: gone, regex: .*, replacement: ""}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		in, want labels.Labels
		keep     bool
	}{
		"all": {
			labels.FromStrings("namespace", "n", "pod", "p", "env", "dev-a", "gone", "g", "container", "restate"),
			labels.FromStrings("namespace", "n", "where", "n/p", "env", "a", "container", "restate", "kubernetes_container_name", "restate"), true,
		},
		"noise":     {labels.FromStrings("noise", "yes"), labels.EmptyLabels(), false},
		"not equal": {labels.FromStrings("x", "1", "y", "2"), labels.EmptyLabels(), false},
	} {
		b := labels.NewBuilder(tt.in)
		if keep := relabel.ProcessBuilder(b, c.Ingest.Relabel()...); keep != tt.keep {
			t.Errorf("%s: kept %v", name, keep)
		} else if keep {
			if diff := cmp.Diff(tt.want.String(), b.Labels().String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

func TestRelabelProblemsHaveTheirPlace(t *testing.T) {
	_, err := load(t, `ingest:
  relabel_presets: [kubernets]
  relabel_configs:
  - {action: dorp}
  - {source_labels: [a, b-c], target_label: x}
  - {regex: '(', target_label: x}
  - target_label: tenant
  - {source_labels: a}
  - {source_lables: [a], target_label: x, modulus: -1}
  - {source_labels: [a]}
`, nil)
	want := `F:2:21: ingest.relabel_presets[0]: unsupported "kubernets" (want kubernetes, docker)
F:4:14: ingest.relabel_configs[0].action: unsupported "dorp" (want replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, lowercase, uppercase)
F:5:25: ingest.relabel_configs[1].source_labels[1]: want a label name, not "b-c"
F:6:13: ingest.relabel_configs[2].regex: error parsing regexp: missing closing ): ` + "`^(?s:()$`" + `
F:7:19: ingest.relabel_configs[3].target_label: the token alone says who the tenant is
F:8:5: ingest.relabel_configs[4]: relabel configuration for replace action requires 'target_label' value
F:8:21: ingest.relabel_configs[4].source_labels: want a list
F:9:6: ingest.relabel_configs[5]: unknown key "source_lables" (did you mean "source_labels"?)
F:9:52: ingest.relabel_configs[5].modulus: want a number from 0, not "-1"
F:10:5: ingest.relabel_configs[6]: relabel configuration for replace action requires 'target_label' value`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoPresetsMeansNoRules(t *testing.T) {
	c, err := load(t, "ingest: {relabel_presets: []}\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if rules := c.Ingest.Relabel(); rules == nil || len(rules) != 0 {
		t.Errorf("%v", rules)
	}
}
