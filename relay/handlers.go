package relay

import (
	"net/http"

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

func rebuildIndex(r *Relay) handler {
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		return r.opts.Rebuild.Rebuild(w, req, id.Tenant)
	}
}
