package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/invoscope/invoscope/relay/queue"
)

// admin is what operators see; it asks for no token and is on loopback unless
// configured otherwise.
func (a *App) admin(ready *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { a.readyz(w, r, ready.Load()) })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}

// health is how a subsystem is doing.
type health struct {
	name string
	err  error
	// needed says that the daemon isn't ready without it.
	needed bool
	note   string // more about one that is well
}

// line is the health as Kubernetes writes it at its own /readyz?verbose.
func (h health) line() string {
	if h.err != nil {
		return fmt.Sprintf("[-]%s failed: %s\n", h.name, strings.ReplaceAll(h.err.Error(), "\n", "; "))
	}
	if h.note != "" {
		return fmt.Sprintf("[+]%s ok: %s\n", h.name, h.note)
	}
	return fmt.Sprintf("[+]%s ok\n", h.name)
}

// readyz answers whether queries are answered, and with ?verbose how each subsystem is
// doing.
func (a *App) readyz(w http.ResponseWriter, r *http.Request, started bool) {
	_, verbose := r.URL.Query()["verbose"]
	all := []health{
		{name: "loki", err: a.loki.Ready(r.Context()), needed: true},
		{name: "tempo", err: a.tempo.Ready(r.Context()), needed: true},
	}
	if verbose {
		all = append(all, a.indexHealth(r.Context()), a.reloadHealth())
		all = append(all, a.queueHealth()...)
		all = append(all, a.keyHealth()...)
	}
	ready, errs, text := started, []error(nil), strings.Builder{}
	for _, h := range all {
		if h.needed && h.err != nil {
			ready, errs = false, append(errs, h.err)
		}
		text.WriteString(h.line())
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch {
	case !ready && verbose:
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, text.String()+"not ready\n")
	case !ready:
		http.Error(w, fmt.Sprint("not ready: ", errors.Join(errs...)), http.StatusServiceUnavailable)
	case verbose:
		_, _ = io.WriteString(w, text.String()+"ready\n")
	default:
		_, _ = fmt.Fprintln(w, "ready")
	}
}

func (a *App) reloadHealth() health {
	s := a.state.Load()
	h := health{name: "reload", err: s.err, note: "in force since " + stamp(s.at)}
	if len(s.restart) > 0 {
		h.note += "; waiting for a restart: " + strings.Join(s.restart, ", ")
	}
	if s.err != nil {
		h.err = fmt.Errorf("in force since %s is what was read then: %w", stamp(s.at), s.err)
	}
	return h
}

// keyHealth tells of each set of keys.
func (a *App) keyHealth() []health {
	a.mu.Lock()
	sets := a.current.sets
	a.mu.Unlock()
	var all []health
	for _, set := range sets {
		s := set.Status()
		h := health{name: fmt.Sprintf("keys %s %s %s", set.issuer, s.Source, s.Place), note: fmt.Sprintf("%d keys", s.Keys)}
		if set.Remote() {
			fetched := "never fetched"
			if !s.Fetched.IsZero() {
				fetched = "fetched " + stamp(s.Fetched)
			}
			h.note += ", " + fetched
			if s.Err != nil {
				h.err = fmt.Errorf("%s: %w", h.note, s.Err)
			} else if s.Fetched.IsZero() {
				h.err = errors.New(h.note)
			}
		}
		all = append(all, h)
	}
	return all
}

// queueHealth tells of the queues. One that takes no more is as it should be when an
// engine is away for long, and no reason to be sent no queries.
func (a *App) queueHealth() []health {
	var all []health
	for name, q := range map[string]*queue.Queue{"logs": a.logs, "traces": a.traces} {
		s := q.Status()
		h := health{name: "queue " + name, err: s.Full, note: fmt.Sprintf("%d bytes", s.Bytes)}
		if s.Oldest > 0 {
			h.note += fmt.Sprintf(", the oldest has waited %s", s.Oldest.Round(time.Second))
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b health) int { return strings.Compare(a.name, b.name) })
	return all
}

// indexTimeout bounds the look at the index's store.
const indexTimeout = 2 * time.Second

func (a *App) indexHealth(ctx context.Context) health {
	ctx, cancel := context.WithTimeout(ctx, indexTimeout)
	defer cancel()
	_, err := a.index.Since(ctx, a.info.Tenant)
	return health{name: "index", err: err}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
