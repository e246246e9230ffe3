package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	accepted      *prometheus.CounterVec
	acceptedBytes *prometheus.CounterVec
	refused       *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		accepted: f.NewCounterVec(prometheus.CounterOpts{
			Name: "invoscope_ingest_accepted_items_total",
			Help: "Log entries and spans that were acknowledged.",
		}, []string{"signal"}),
		acceptedBytes: f.NewCounterVec(prometheus.CounterOpts{
			Name: "invoscope_ingest_accepted_bytes_total",
			Help: "Bytes acknowledged: of the lines for logs, encoded for traces.",
		}, []string{"signal"}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "invoscope_ingest_refused_items_total",
			Help: "Log entries and spans that were refused, by reason.",
		}, []string{"signal", "reason"}),
	}
}
