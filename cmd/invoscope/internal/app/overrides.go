package app

import (
	"errors"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/tenancy/limits"
)

// lokiRanges is how much longer Loki lets a query be than the relay: before it looks, it
// adds to the range that was asked for up to a step, and the range inside of LogQL,
// such as the five minutes of rate({…}[5m]). As much again has to be enough.
const lokiRanges = 2

// overrideEngines makes the engines that we run keep to the tenants' limits, without
// a restart. Tenants are all that there are: an engine knows its defaults since its
// start, so those who have the set's defaults are told apart, too, where these differ.
func (a *App) overrideEngines(set limits.Set, tenants []string) error {
	var errs []error
	if loki, ok := a.loki.(*engine.Embedded); ok {
		errs = append(errs, loki.SetOverrides(engineLimits(set, tenants, func(l limits.Limits) engine.TenantLimits {
			return engine.TenantLimits{Retention: l.LogRetention, MaxQueryRange: lokiRanges * l.MaxQueryRange, MaxQueryLimit: l.MaxQueryLimit, MaxTails: l.MaxTails}
		})))
	}
	if tempo, ok := a.tempo.(*engine.Embedded); ok {
		errs = append(errs, tempo.SetOverrides(engineLimits(set, tenants, func(l limits.Limits) engine.TenantLimits {
			return engine.TenantLimits{Retention: l.TraceRetention, MaxQueryRange: l.MaxQueryRange}
		})))
	}
	return errors.Join(errs...)
}

// engineLimits returns the tenants for whom an engine does something differently.
func engineLimits(set limits.Set, tenants []string, of func(limits.Limits) engine.TenantLimits) map[string]engine.TenantLimits {
	all := make(map[string]engine.TenantLimits)
	add := func(tenant string) {
		if own := of(set.Of(tenant)); own != (engine.TenantLimits{}) {
			all[tenant] = own
		}
	}
	for tenant := range set.Tenants {
		add(tenant)
	}
	for _, tenant := range tenants {
		add(tenant)
	}
	return all
}
