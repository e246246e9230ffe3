package index

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	updates   prometheus.Counter
	missed    prometheus.Counter
	corrupt   prometheus.Counter
	forgotten *prometheus.CounterVec
	bytes     prometheus.Gauge
	limit     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		updates:   f.NewCounter(prometheus.CounterOpts{Name: "invoscope_index_updated_records_total", Help: "Records of invocations that were written, anew or again."}),
		missed:    f.NewCounter(prometheus.CounterOpts{Name: "invoscope_index_missed_requests_total", Help: "Requests of spans or log lines that the invocation index did not learn from, because of an error."}),
		corrupt:   f.NewCounter(prometheus.CounterOpts{Name: "invoscope_index_corrupt_records_total", Help: "Records that could not be read."}),
		forgotten: f.NewCounterVec(prometheus.CounterOpts{Name: "invoscope_index_forgotten_records_total", Help: "Records that were deleted, by reason."}, []string{"reason"}),
		bytes:     f.NewGauge(prometheus.GaugeOpts{Name: "invoscope_index_size_bytes", Help: "What the store of the invocation index takes, on disk or in memory."}),
		limit:     f.NewGauge(prometheus.GaugeOpts{Name: "invoscope_index_max_size_bytes", Help: "What it may take before the oldest invocations are forgotten; 0 is no limit of ours."}),
	}
}
