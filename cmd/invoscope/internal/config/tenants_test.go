package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/tenancy/limits"
)

func loadTenants(t testing.TB, yaml string) (limits.Set, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := LoadTenants(file, Default())
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), file, "F"))
	}
	return set, err
}

func TestTenantsHaveTheDefaultsLimits(t *testing.T) {
	t.Setenv("INVOSCOPE_TEST_RATE", "5MiB")
	const mib = 1 << 20
	defaults := limits.Limits{
		IngestBytesPerSecond: 5 * mib, IngestBurstBytes: 40 * mib, SpansPerSecond: 1000, MaxRequestBytes: 10 * mib,
		QueriesPerSecond: 20, MaxConcurrentQueries: 30, MaxTails: 5, MaxQueryRange: 7 * 24 * time.Hour, MaxQueryLimit: 5000,
		LogRetention: 14 * 24 * time.Hour, TraceRetention: 36 * time.Hour,
	}
	small := defaults
	small.MaxRequestBytes, small.IngestBurstBytes, small.IngestBytesPerSecond = mib, mib, 1000
	free := defaults
	free.IngestBytesPerSecond, free.QueriesPerSecond, free.MaxQueryRange, free.LogRetention = 0, 0, 0, 0
	set, err := loadTenants(t, `
tenants:
  plain: {}
  empty:
  small:
    max_request_bytes: 1MiB
    ingest_burst_bytes: 0
    ingest_bytes_per_second: 1000
  free: {ingest_bytes_per_second: 0, queries_per_second: 0, max_query_range: 0s, log_retention: 0s}
defaults:
  ingest_bytes_per_second: ${INVOSCOPE_TEST_RATE}
  ingest_burst_bytes: 40MiB
  spans_per_second: 1000
  queries_per_second: 20
  max_concurrent_queries: 30
  max_tails: 5
  max_query_range: 7d
  max_query_limit: 5000
  log_retention: 14d
  trace_retention: 36h
`)
	if err != nil {
		t.Fatal(err)
	}
	want := limits.Set{Defaults: defaults, Tenants: map[string]limits.Limits{"plain": defaults, "empty": defaults, "small": small, "free": free}}
	if diff := cmp.Diff(want, set); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWithoutATenantsFileNothingIsLimited(t *testing.T) {
	set, err := LoadTenants("", Default())
	if err != nil || set.Of("acme") != (limits.Limits{}) {
		t.Errorf("%+v, %v", set, err)
	}
	set, err = loadTenants(t, "")
	if err != nil || set.Of("acme") != (limits.Limits{MaxRequestBytes: 10 << 20}) {
		t.Errorf("an empty file: %+v, %v", set, err)
	}
	if _, err := LoadTenants(filepath.Join(t.TempDir(), "missing"), Default()); err == nil {
		t.Error("a missing file is no problem")
	}
}

// All that is wrong is said at once, and where it stands.
func TestWhatIsWrongWithATenantsFile(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"everything": {`
defaults: {max_query_limits: 1, log_retention: 1h}
tenants:
  a|b: {}
  acme:
    spans_per_second: -1
    ingest_bytes_per_second: 1MiB
    ingest_burst_bytes: 5MiB
    max_tails: 2000000000
  globex: {max_request_bytes: 20MiB, trace_retention: 23h, max_query_range: 5ms}
`, `F:2:12: defaults: unknown key "max_query_limits" (did you mean "max_query_limit"?)
F:2:48: defaults.log_retention: must be 0, or at least a day
F:4:8: tenants.a|b: tenant name "a|b" is not valid (want 1 to 64 of a-z, A-Z, 0-9, _ and -)
F:6:23: tenants.acme.spans_per_second: want a number from 0, not "-1"
F:8:25: tenants.acme.ingest_burst_bytes: must be 0, or at least the largest request (10MiB), which else never gets through
F:9:16: tenants.acme.max_tails: must be at most 1000000000
F:10:31: tenants.globex.max_request_bytes: must be 0, or between 1KiB and ingest.max_request_bytes
F:10:55: tenants.globex.trace_retention: must be 0, or at least a day
F:10:77: tenants.globex.max_query_range: must be 0, or at least a second`},
		"a near key":     {"tenants: {acme: {max_tail: 1}}", `F:1:18: tenants.acme: unknown key "max_tail" (did you mean "max_tails"?)`},
		"twice":          {"tenants: {acme: {}, acme: {}}", `F:1:21: tenants.acme: stands twice`},
		"no mapping":     {"- acme", `F:1:1: want a mapping`},
		"a list":         {"tenants: [acme]", `F:1:10: tenants: want a mapping`},
		"syntax":         {"tenants: {", `F:1:1: did not find expected node content`},
		"two documents":  {"tenants: {}\n---\ntenants: {}", `F:2:1: a second YAML document`},
		"negative":       {"defaults: {ingest_burst_bytes: -1, ingest_bytes_per_second: -5}", "F:1:32: defaults.ingest_burst_bytes: must not be negative\nF:1:61: defaults.ingest_bytes_per_second: must be between 0 and 1TiB"},
		"inherited":      {"defaults: {ingest_bytes_per_second: 1MiB, ingest_burst_bytes: 10MiB, max_request_bytes: 1MiB}\ntenants: {acme: {max_request_bytes: 0, ingest_burst_bytes: 2MiB}}", "F:2:60: tenants.acme.ingest_burst_bytes: must be 0, or at least the largest request (10MiB), which else never gets through"},
		"no environment": {"defaults: {max_tails: '${INVOSCOPE_TEST_UNSET}'}", "F:1:23: defaults.max_tails: the environment variable INVOSCOPE_TEST_UNSET is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadTenants(t, c.yaml)
			if err == nil {
				t.Fatal("nothing is wrong")
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// tenantsYAML is a file of n tenants that each have something of their own.
func tenantsYAML(n int) string {
	var b strings.Builder
	b.WriteString("defaults: {ingest_bytes_per_second: 1MiB, queries_per_second: 10, max_query_range: 7d}\ntenants:\n")
	for i := range n {
		fmt.Fprintf(&b, "  tenant-%d: {spans_per_second: %d, log_retention: %dd}\n", i, i+1, 1+i%60)
	}
	return b.String()
}

func BenchmarkLoadTenants(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint("tenants=", n), func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "tenants.yaml")
			if err := os.WriteFile(file, []byte(tenantsYAML(n)), 0o600); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				set, err := LoadTenants(file, Default())
				if err != nil || len(set.Tenants) != n {
					b.Fatal(len(set.Tenants), err)
				}
			}
		})
	}
}
