package app

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type reloadMetrics struct {
	successful, succeededAt, certificateEnds prometheus.Gauge
	results                                  *prometheus.CounterVec
}

func newReloadMetrics(r prometheus.Registerer) reloadMetrics {
	f := promauto.With(r)
	m := reloadMetrics{
		successful: f.NewGauge(prometheus.GaugeOpts{
			Name: "invoscope_config_last_reload_successful",
			Help: "1 if what the files say is in force, 0 if the last reload failed.",
		}),
		succeededAt: f.NewGauge(prometheus.GaugeOpts{
			Name: "invoscope_config_last_reload_success_timestamp_seconds",
			Help: "When what is in force was read, in seconds since 1970.",
		}),
		certificateEnds: f.NewGauge(prometheus.GaugeOpts{
			Name: "invoscope_tls_certificate_not_after_timestamp_seconds",
			Help: "When the certificate of the public ports ends to be valid, in seconds since 1970; 0 without TLS.",
		}),
		results: f.NewCounterVec(prometheus.CounterOpts{
			Name: "invoscope_config_reloads_total",
			Help: "How often files were read again, by result: ok or failed.",
		}, []string{"result"}),
	}
	m.results.WithLabelValues("ok")
	m.results.WithLabelValues("failed")
	return m
}
