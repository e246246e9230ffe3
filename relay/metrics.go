package relay

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests *prometheus.CounterVec
	denied   *prometheus.CounterVec
	lookups  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "invoscope_relay_requests_total",
			Help: "Requests by route and HTTP status code.",
		}, []string{"route", "code"}),
		denied: f.NewCounterVec(prometheus.CounterOpts{
			Name: "invoscope_relay_denied_requests_total",
			Help: "Requests denied for their token, by reason.",
		}, []string{"reason"}),
		lookups: f.NewCounterVec(prometheus.CounterOpts{
			Name: "invoscope_relay_lookups_total",
			Help: "Trace searches for one invocation, by what became of them.",
		}, []string{"result"}),
	}
}

func (m *metrics) count(route string, status int) {
	if status == 0 {
		status = http.StatusOK
	}
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
}
