package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	acceptedLogs, acceptedLogBytes    prometheus.Counter
	acceptedSpans, acceptedTraceBytes prometheus.Counter
	refused                           *prometheus.CounterVec
	dropped, buried                   prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	accepted := f.NewCounterVec(prometheus.CounterOpts{
		Name: "invoscope_ingest_accepted_items_total",
		Help: "Log entries and spans that were acknowledged.",
	}, []string{"signal"})
	acceptedBytes := f.NewCounterVec(prometheus.CounterOpts{
		Name: "invoscope_ingest_accepted_bytes_total",
		Help: "Bytes acknowledged: of the lines for logs, encoded for traces.",
	}, []string{"signal"})
	return &metrics{
		acceptedLogs: accepted.WithLabelValues("logs"), acceptedLogBytes: acceptedBytes.WithLabelValues("logs"),
		acceptedSpans: accepted.WithLabelValues("traces"), acceptedTraceBytes: acceptedBytes.WithLabelValues("traces"),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "invoscope_ingest_refused_items_total",
			Help: "Log entries and spans that were refused, by reason.",
		}, []string{"signal", "reason"}),
		dropped: f.NewCounter(prometheus.CounterOpts{
			Name: "invoscope_ingest_dropped_entries_total",
			Help: "Log entries that were acknowledged and dropped, as ingest.relabel_configs asks for.",
		}),
		buried: f.NewCounter(prometheus.CounterOpts{
			Name: "invoscope_ingest_buried_entries_total",
			Help: "Log entries that were acknowledged and, being too old for Loki, kept as dead letters.",
		}),
	}
}

func (m *metrics) count(signal string, r *refusals) {
	for _, c := range r.counts {
		m.refused.WithLabelValues(signal, c.reason.label).Add(float64(c.count))
	}
}
