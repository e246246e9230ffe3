package queue

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	pendingRequests prometheus.Gauge
	pendingBytes    prometheus.Gauge
	commits         prometheus.Counter
	delivered       *prometheus.CounterVec
	retries         prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		pendingRequests: f.NewGauge(prometheus.GaugeOpts{
			Name: "invoscope_queue_pending_requests",
			Help: "Acknowledged requests that the engine has not stored yet.",
		}),
		pendingBytes: f.NewGauge(prometheus.GaugeOpts{
			Name: "invoscope_queue_pending_bytes",
			Help: "Bytes of acknowledged requests that the engine has not stored yet.",
		}),
		commits: f.NewCounter(prometheus.CounterOpts{
			Name: "invoscope_queue_commits_total",
			Help: "Group commits to the log, each with one sync.",
		}),
		delivered: f.NewCounterVec(prometheus.CounterOpts{
			Name: "invoscope_queue_delivered_requests_total",
			Help: "Requests that left the queue, stored by the engine or refused for good.",
		}, []string{"outcome"}),
		retries: f.NewCounter(prometheus.CounterOpts{
			Name: "invoscope_queue_retries_total",
			Help: "Deliveries that failed and will be tried again.",
		}),
	}
}
