package grafana

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// load reads a provisioning file as Grafana does: YAML first, then variables
// in every string that is a value.
func load(t *testing.T, data []byte, env map[string]string) []map[string]any {
	t.Helper()
	var root map[string]any
	if err := yaml.Unmarshal(data, &root); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	if root["apiVersion"] != 1 {
		t.Errorf("apiVersion = %v, want 1", root["apiVersion"])
	}
	sources, _ := expand(root["datasources"], env).([]any)
	out := make([]map[string]any, len(sources))
	for i, s := range sources {
		out[i] = s.(map[string]any)
	}
	return out
}

func expand(v any, env map[string]string) any {
	switch v := v.(type) {
	case string:
		return expandString(v, env)
	case []any:
		for i := range v {
			v[i] = expand(v[i], env)
		}
	case map[string]any:
		for k := range v {
			v[k] = expand(v[k], env)
		}
	}
	return v
}

// expandString follows pkg/services/provisioning/values of Grafana: "$$" is
// cut out first; what is between is expanded, first ${NAME}, then, over the
// result, $NAME and ${NAME} as os.Expand has it; unset variables are empty.
func expandString(s string, env map[string]string) string {
	get := func(name string) string { return env[name] }
	parts := strings.Split(s, "$$")
	for i, part := range parts {
		parts[i] = os.Expand(expandBraces(part, get), get)
	}
	return strings.Join(parts, "$")
}

func expandBraces(s string, get func(string) string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed || name == "" {
			out.WriteString(s)
			return out.String()
		}
		out.WriteString(before + get(name))
		s = after
	}
}

// at follows keys and indexes down to a value.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				t.Fatalf("nothing at %v", path)
			}
			v = l[step]
		}
	}
	return v
}
