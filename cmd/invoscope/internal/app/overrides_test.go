package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/tenancy/limits"
)

func TestEnginesAreToldOfTheTenantsThatDiffer(t *testing.T) {
	of := func(l limits.Limits) engine.TenantLimits {
		return engine.TenantLimits{Retention: l.LogRetention, MaxQueryLimit: l.MaxQueryLimit}
	}
	const day = 24 * time.Hour
	seen := []string{"seen", "plain"}
	for name, c := range map[string]struct {
		set  limits.Set
		want map[string]engine.TenantLimits
	}{
		"nothing": {limits.Set{}, map[string]engine.TenantLimits{}},
		"what isn't an engine's": {limits.Set{
			Defaults: limits.Limits{QueriesPerSecond: 1, IngestBytesPerSecond: 1},
			Tenants:  map[string]limits.Limits{"plain": {SpansPerSecond: 1}},
		}, map[string]engine.TenantLimits{}},
		"a tenant's own": {limits.Set{Tenants: map[string]limits.Limits{"own": {LogRetention: day}, "plain": {}}}, map[string]engine.TenantLimits{
			"own": {Retention: day},
		}},
		"everybody's": {limits.Set{
			Defaults: limits.Limits{MaxQueryLimit: 9},
			Tenants:  map[string]limits.Limits{"own": {MaxQueryLimit: 9, LogRetention: day}, "free": {}},
		}, map[string]engine.TenantLimits{
			"own": {Retention: day, MaxQueryLimit: 9}, "seen": {MaxQueryLimit: 9}, "plain": {MaxQueryLimit: 9},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, engineLimits(c.set, seen, of)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
