package ingest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invoscope/invoscope/relay/fault"
)

// with returns a fixture with other options.
func with(t testing.TB, change func(*Options)) *fixture {
	t.Helper()
	f := newFixture(t)
	o := f.opts
	o.Registerer = prometheus.NewRegistry()
	change(&o)
	in, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Ingest = in
	return f
}

func TestPresetsNameTheContainer(t *testing.T) {
	for sent, want := range map[string]string{
		`{container="restate"}`:                                            `{container="restate", kubernetes_container_name="restate", tenant="acme"}`,
		`{container_name="/restate"}`:                                      `{container_name="/restate", kubernetes_container_name="restate", tenant="acme"}`,
		`{k8s_container_name="restate", container="other"}`:                `{container="other", k8s_container_name="restate", kubernetes_container_name="restate", tenant="acme"}`,
		`{container="x", kubernetes_container_name="restate"}`:             `{container="x", kubernetes_container_name="restate", tenant="acme"}`,
		`{__meta_docker_container_name="/restate"}`:                        `{__meta_docker_container_name="/restate", kubernetes_container_name="restate", tenant="acme"}`,
		`{__meta_kubernetes_pod_container_name="restate", app="a"}`:        `{__meta_kubernetes_pod_container_name="restate", app="a", kubernetes_container_name="restate", tenant="acme"}`,
		`{container="", container_name="/"}`:                               `{container_name="/", tenant="acme"}`,
		`{app="a"}`:                                                        `{app="a", tenant="acme"}`,
		`{container="a;b", kubernetes_container_name="", tenant="globex"}`: `{container="a;b", kubernetes_container_name="a;b", tenant="acme"}`,
	} {
		f := newFixture(t)
		for range 2 { // parsed, and then remembered
			if w := do(f.LokiPush, fault.Plain, header(), protoPush(t, push.Stream{Labels: sent, Entries: []push.Entry{pushed("x")}})); w.Code != 204 {
				t.Fatalf("%s: %d %s", sent, w.Code, w.Body)
			}
		}
		for _, s := range f.logs.streams(t) {
			if s.Labels != want {
				t.Errorf("%s is stored as\n%s, want\n%s", sent, s.Labels, want)
			}
		}
	}
}

func rule(change func(*relabel.Config)) *relabel.Config {
	r := relabel.DefaultRelabelConfig
	r.NameValidationScheme = model.LegacyValidation
	change(&r)
	return &r
}

func TestRelabelling(t *testing.T) {
	rules := []*relabel.Config{
		rule(func(r *relabel.Config) {
			r.SourceLabels, r.Regex, r.Action = model.LabelNames{"service_name"}, relabel.MustNewRegexp("noise"), relabel.Drop
		}),
		rule(func(r *relabel.Config) {
			r.SourceLabels, r.TargetLabel = model.LabelNames{"tenant"}, "seen"
		}),
		rule(func(r *relabel.Config) { r.TargetLabel, r.Replacement = "tenant", "globex" }),
	}
	f := with(t, func(o *Options) { o.Relabel = rules })
	w := do(f.LokiPush, fault.Plain, header(), protoPush(t,
		push.Stream{Labels: `{service_name="noise"}`, Entries: []push.Entry{pushed("a"), pushed("b")}},
		push.Stream{Labels: `{service_name="app", tenant="initech"}`, Entries: []push.Entry{pushed("c")}}))
	if w.Code != 204 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	logs := plog.NewLogs()
	for _, name := range []string{"noise", "app"} {
		rl := logs.ResourceLogs().AppendEmpty()
		rl.Resource().Attributes().PutStr("service.name", name)
		r := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		r.SetTimestamp(5_000_000_006)
		r.Body().SetStr("c")
	}
	resp, err := f.exportLogs(t.Context(), "acme", encodeLogs(t, logs))
	if err != nil || resp.PartialSuccess().ErrorMessage() != "" {
		t.Fatalf("%v %q", err, resp.PartialSuccess().ErrorMessage())
	}
	want := push.Stream{Labels: `{seen="acme", service_name="app", tenant="acme"}`, Entries: []push.Entry{pushed("c")}}
	if diff := cmp.Diff([]push.Stream{want, want}, f.logs.streams(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := testutil.ToFloat64(f.metrics.dropped); got != 3 {
		t.Errorf("%v entries were counted as dropped", got)
	}
}
