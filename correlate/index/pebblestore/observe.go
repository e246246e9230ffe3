package pebblestore

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	backgroundErrors prometheus.Counter
	stalls           prometheus.Counter
	unregister       func()
}

func newMetrics(r prometheus.Registerer, s *Store) (*metrics, error) {
	m := &metrics{
		backgroundErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "invoscope_pebblestore_background_errors_total",
			Help: "Flushes and compactions of the index store that failed.",
		}),
		stalls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "invoscope_pebblestore_write_stalls_total",
			Help: "Times that writes to the index store waited for flushes or compactions.",
		}),
	}
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "invoscope_pebblestore_up",
		Help: "1 while the index store takes writes, 0 while its disk is full or once it failed.",
	}, s.guard.up)
	collectors := []prometheus.Collector{m.backgroundErrors, m.stalls, up}
	m.unregister = func() {
		for _, c := range collectors {
			r.Unregister(c)
		}
	}
	for _, c := range collectors {
		if err := r.Register(c); err != nil {
			m.unregister()
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// up is 1 while there is room and nothing failed.
func (g *guard) up() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil || g.waiting > 0 {
		return 0
	}
	return 1
}

// logger is Pebble's, whose Fatalf must not return.
type logger struct{ *guard }

func (l logger) Infof(format string, args ...any) { l.logf(slog.LevelDebug, format, args) }

func (l logger) Errorf(format string, args ...any) { l.logf(slog.LevelError, format, args) }

func (l logger) Fatalf(format string, args ...any) {
	l.fail(fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...))
	park()
}

func (l logger) logf(level slog.Level, format string, args []any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "pebble: "+fmt.Sprintf(format, args...))
	}
}

// listener hears what Pebble does. An error that would come again and again puts
// the store out of use.
func listener(g *guard, m *metrics) *pebble.EventListener {
	var l pebble.EventListener
	if g.log.Enabled(context.Background(), slog.LevelDebug) {
		l = pebble.MakeLoggingEventListener(logger{g})
	}
	l.BackgroundError = func(err error) {
		m.backgroundErrors.Inc()
		switch {
		case isFull(err): // logged, and waited for, where it was met
		case pebble.IsCorruptionError(err):
			g.fail(fmt.Errorf("%w: %w", ErrCorrupt, err))
		default:
			g.fail(fmt.Errorf("work in the background: %w", err))
		}
	}
	l.DataCorruption = func(info pebble.DataCorruptionInfo) {
		g.fail(fmt.Errorf("%w: %s", ErrCorrupt, info))
	}
	l.WriteStallBegin = func(pebble.WriteStallBeginInfo) { m.stalls.Inc() }
	return &l
}
