package keyset

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those of all sets, also of one that takes another's place: make them once.
type Metrics struct {
	refreshes *prometheus.CounterVec
	keys      *prometheus.GaugeVec
	fetchedAt *prometheus.GaugeVec

	mu      sync.Mutex
	running map[[2]string]int // sets by issuer and place
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "invoscope_keyset_refreshes_total",
			Help: "How often the keys of a URL were fetched, by result: ok or failed.",
		}, []string{"issuer", "source", "result"}),
		keys: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "invoscope_keyset_keys",
			Help: "Keys that tokens may be signed with.",
		}, []string{"issuer", "source"}),
		fetchedAt: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "invoscope_keyset_last_success_timestamp_seconds",
			Help: "When the keys of a URL were last fetched, in seconds since 1970; 0: never.",
		}, []string{"issuer", "source"}),
		running: map[[2]string]int{},
	}
	r.MustRegister(m.refreshes, m.keys, m.fetchedAt)
	return m
}

// follow shows the set until the function that it returns is called. For a while the set
// and the one that takes its place run side by side, as one series.
func (m *Metrics) follow(s *Set) (leave func()) {
	if m == nil {
		return func() {}
	}
	labels := [2]string{s.opts.Issuer, s.place}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running[labels]++
	m.keys.WithLabelValues(labels[:]...).Set(float64(s.count()))
	if s.client != nil {
		m.refreshes.WithLabelValues(labels[0], labels[1], "ok")
		m.refreshes.WithLabelValues(labels[0], labels[1], "failed")
		if at := m.fetchedAt.WithLabelValues(labels[:]...); !s.fetched.IsZero() {
			at.Set(seconds(s.fetched))
		}
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.running[labels]--; m.running[labels] > 0 {
			return
		}
		delete(m.running, labels)
		m.keys.DeleteLabelValues(labels[:]...)
		m.fetchedAt.DeleteLabelValues(labels[:]...)
		m.refreshes.DeletePartialMatch(prometheus.Labels{"issuer": labels[0], "source": labels[1]})
	}
}

// fetched counts a fetch of a set that is followed. The caller holds the set's lock.
func (m *Metrics) fetched(s *Set, err error) {
	if m == nil {
		return
	}
	if err != nil {
		m.refreshes.WithLabelValues(s.opts.Issuer, s.place, "failed").Inc()
		return
	}
	m.refreshes.WithLabelValues(s.opts.Issuer, s.place, "ok").Inc()
	m.keys.WithLabelValues(s.opts.Issuer, s.place).Set(float64(s.count()))
	m.fetchedAt.WithLabelValues(s.opts.Issuer, s.place).Set(seconds(s.fetched))
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
