package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func overridden(t testing.TB, make func(EmbeddedOptions) *Embedded, tenants map[string]TenantLimits) (*Embedded, string) {
	t.Helper()
	e := make(EmbeddedOptions{Binary: "none", DataDir: filepath.Join(t.TempDir(), "engine"), Retention: 10 * 24 * time.Hour})
	t.Cleanup(e.client.close)
	if err := e.SetOverrides(tenants); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(e.layout.Overrides)
	if err != nil {
		t.Fatal(err)
	}
	return e, string(data)
}

func TestLokisOverrides(t *testing.T) {
	_, got := overridden(t, NewLoki, map[string]TenantLimits{
		"b": {Retention: 36 * time.Hour, MaxQueryRange: 90 * time.Minute, MaxQueryLimit: 10, MaxTails: 20},
		"a": {MaxQueryLimit: 7},
	})
	want := `# Written by invoscope; changes here are lost.
overrides:
  "a":
    max_entries_limit_per_query: 7
  "b":
    retention_period: 1d12h
    max_query_length: 1h30m
    max_entries_limit_per_query: 10
    max_concurrent_tail_requests: 20
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// An entry of Tempo's replaces the defaults: what it doesn't change it must repeat.
func TestTemposOverridesNameEveryDefault(t *testing.T) {
	e, text := overridden(t, NewTempo, map[string]TenantLimits{"same": {}, "own": {Retention: 36 * time.Hour, MaxQueryRange: time.Hour}})
	config, err := render(e.kind.template, settings{layout: e.layout, GRPCPort: 1, Retention: hours(e.opts.Retention / time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	var defaults struct {
		Overrides struct{ Defaults map[string]any }
	}
	var entries struct{ Overrides map[string]map[string]any }
	for _, one := range []struct {
		text string
		into any
	}{{string(config), &defaults}, {text, &entries}} {
		if err := yaml.Unmarshal([]byte(one.text), one.into); err != nil {
			t.Fatal(err)
		}
	}
	want := defaults.Overrides.Defaults
	if len(want) < 5 {
		t.Fatalf("the defaults are %v", want)
	}
	// Tempo has defaults of its own for these (modules/overrides/config.go,
	// RegisterFlagsAndApplyDefaults); in an entry they would be nothing.
	generator, ok := want["metrics_generator"].(map[string]any)
	if !ok {
		t.Fatal("the defaults have no generator")
	}
	for key, value := range map[string]any{
		"generate_native_histograms": "classic", "native_histogram_bucket_factor": 1.1,
		"native_histogram_max_bucket_number": 100, "native_histogram_min_reset_duration": "15m",
	} {
		generator[key] = value
	}
	if diff := cmp.Diff(want, entries.Overrides["same"]); diff != "" {
		t.Errorf("an entry of nothing (-the defaults +it):\n%s", diff)
	}
	for path, value := range map[string]string{"compaction.block_retention": "1d12h", "read.max_search_duration": "1h"} {
		section, key, _ := strings.Cut(path, ".")
		if m, ok := want[section].(map[string]any); ok {
			m[key] = value
		}
	}
	if !reflect.DeepEqual(want, entries.Overrides["own"]) {
		t.Errorf("an entry of its own:\n%s", cmp.Diff(want, entries.Overrides["own"]))
	}
}

// The engines look at their file all the time: it isn't touched for nothing.
func TestOverridesAreWrittenOnlyWhenTheyChange(t *testing.T) {
	limits := map[string]TenantLimits{"acme": {MaxQueryLimit: 1}}
	e, _ := overridden(t, NewLoki, limits)
	stat := func() os.FileInfo {
		info, err := os.Stat(e.layout.Overrides)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	before := stat()
	if err := e.SetOverrides(limits); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, stat()) {
		t.Error("the same was written again")
	}
	if err := e.SetOverrides(nil); err != nil {
		t.Fatal(err)
	}
	if os.SameFile(before, stat()) {
		t.Error("the file wasn't replaced as a whole")
	}
	if data, err := os.ReadFile(e.layout.Overrides); err != nil || string(data) != noOverrides {
		t.Errorf("%q, %v", data, err)
	}
	if info := stat(); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

// One entry that Loki doesn't take would make it refuse the file.
func TestOverridesThatAnEngineWouldRefuse(t *testing.T) {
	e, before := overridden(t, NewLoki, map[string]TenantLimits{"acme": {MaxQueryLimit: 1}})
	if err := e.SetOverrides(map[string]TenantLimits{"acme": {Retention: time.Hour}}); err == nil || !strings.Contains(err.Error(), "the retention of acme is less than a day") {
		t.Error(err)
	}
	if data, err := os.ReadFile(e.layout.Overrides); err != nil || string(data) != before {
		t.Errorf("%q, %v", data, err)
	}
	if err := NewLoki(EmbeddedOptions{}).SetOverrides(nil); err == nil {
		t.Error("written nowhere")
	}
}

// BenchmarkOverrides renders and writes what is different for ten thousand tenants.
func BenchmarkOverrides(b *testing.B) {
	for name, make := range map[string]func(EmbeddedOptions) *Embedded{"loki": NewLoki, "tempo": NewTempo} {
		b.Run(name, func(b *testing.B) {
			e := make(EmbeddedOptions{Binary: "none", DataDir: b.TempDir()})
			b.Cleanup(e.client.close)
			tenants := map[string]TenantLimits{}
			for i := range 10_000 {
				tenants[fmt.Sprint("tenant-", i)] = TenantLimits{Retention: time.Duration(24+i%60) * time.Hour, MaxQueryRange: 24 * time.Hour, MaxQueryLimit: 1000}
			}
			for i := 0; b.Loop(); i++ {
				tenants["tenant-0"] = TenantLimits{Retention: time.Duration(24+i) * time.Hour}
				if err := e.SetOverrides(tenants); err != nil {
					b.Fatal(err)
				}
			}
			info, err := os.Stat(e.layout.Overrides)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size()), "file-B")
		})
	}
}
