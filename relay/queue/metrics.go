package queue

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	pendingRequests prometheus.Gauge
	pendingBytes    prometheus.Gauge
	kept            prometheus.Gauge
	oldest          prometheus.Gauge
	logBytes        prometheus.Gauge
	full            *prometheus.CounterVec
	commits         prometheus.Counter
	delivered       *prometheus.CounterVec
	retries         prometheus.Counter
	resent          prometheus.Counter
	relocated       prometheus.Counter
	damaged         prometheus.Counter
	buried          *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "invoscope_queue_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "invoscope_queue_" + name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: "invoscope_queue_" + name, Help: help}, []string{label})
	}
	return &metrics{
		pendingRequests: gauge("pending_requests", "Acknowledged requests that the engine has not stored yet."),
		pendingBytes:    gauge("pending_bytes", "Bytes of acknowledged requests that are not done with: those that the engine has not stored yet, and those it could still lose."),
		kept:            gauge("kept_requests", "Requests that the engine has stored and could still lose."),
		oldest:          gauge("oldest_request_seconds", "How long the oldest request has waited that the engine has not stored yet."),
		logBytes:        gauge("log_bytes", "Bytes of the log on disk."),
		full:            vec("full_total", "Requests that were refused because a bound was reached.", "bound"),
		commits:         counter("commits_total", "Group commits to the log, each with one sync at most."),
		delivered:       vec("deliveries_total", "Deliveries that came to an end: stored by the engine, or refused for good.", "outcome"),
		retries:         counter("retries_total", "Deliveries that failed and will be tried again."),
		resent:          counter("resent_requests_total", "Requests that were delivered again because the engine's process had ended."),
		relocated:       counter("relocated_records_total", "Records that were copied to the end of the log, so that old segments could be removed."),
		damaged:         counter("damaged_records_total", "Records that could not be delivered because they were damaged on disk."),
		buried:          vec("dead_items_total", "Log entries and spans that became dead letters.", "tenant"),
	}
}

// measure sets the gauges that aren't kept all along.
func (q *Queue) measure() {
	now := q.opts.Now()
	var oldest time.Duration
	q.mu.Lock()
	for _, l := range q.lines {
		oldest = max(oldest, l.waitingSince(now))
	}
	q.mu.Unlock()
	q.metrics.oldest.Set(oldest.Seconds())
	q.metrics.logBytes.Set(float64(q.log.size()))
}
