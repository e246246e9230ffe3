package audit

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	written, lost, suppressed prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	v := promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "invoscope_audit_lines_total",
		Help: "Lines of the audit log by what became of them: written; lost, because they couldn't be written; suppressed, of requests without an identity beyond what is written of those.",
	}, []string{"result"})
	return &metrics{written: v.WithLabelValues("written"), lost: v.WithLabelValues("lost"), suppressed: v.WithLabelValues("suppressed")}
}
