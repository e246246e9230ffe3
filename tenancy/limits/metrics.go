package limits

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// The tenants that the metrics don't name. No tenant's name begins with a brace.
const (
	otherTenants   = "{other}"   // not in the tenants file
	severalTenants = "{several}" // a query of more than one
)

type metrics struct{ refused *prometheus.CounterVec }

func newMetrics(r prometheus.Registerer) *metrics {
	return &metrics{refused: promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "invoscope_limits_refused_total",
		Help: "Requests refused for a tenant's limit. Tenants have names here if they have limits of their own.",
	}, []string{"limit", "tenant"})}
}

// count counts a refusal. The names are bounded: those of the set.
func (m *metrics) count(set *Set, name string, kind Kind) {
	_, named := set.Tenants[name]
	switch {
	case named:
	case strings.Contains(name, separator):
		name = severalTenants
	default:
		name = otherTenants
	}
	m.refused.WithLabelValues(string(kind), name).Inc()
}

func (m *metrics) forget(tenant string) {
	for _, kind := range kinds {
		m.refused.DeleteLabelValues(string(kind), tenant)
	}
}
