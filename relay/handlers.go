package relay

import (
	"errors"
	"io"
	"net/http"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
)

func lokiPush(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		return r.opts.Ingest.LokiPush(w, req, id.Tenant)
	}
}

func otlpLogs(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		return r.opts.Ingest.OTLPLogs(w, req, id.Tenant)
	}
}

func otlpTraces(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		return r.opts.Ingest.OTLPTraces(w, req, id.Tenant)
	}
}

// ready answers as Loki and Tempo do, for both.
func ready(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, _ tenancy.Identity) error {
		err := errors.Join(r.opts.Loki.Ready(req.Context()), r.opts.Tempo.Ready(req.Context()))
		if err != nil {
			return &fault.Error{Kind: fault.Unavailable, Message: "not ready", RetryAfter: retryUnavailable, Cause: err}
		}
		_, _ = io.WriteString(w, "ready\n") // a client that has gone away can't be told
		return nil
	}
}
