package relay

import (
	"net/http"

	"github.com/invoscope/invoscope/relay/invocation"
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

// invocations serves one of the invocation API's handlers.
func invocations(serve func(*invocation.API, http.ResponseWriter, *http.Request, string) error) func(*Relay) handler {
	return func(r *Relay) handler {
		return func(w http.ResponseWriter, req *http.Request, _ tenancy.Identity) error {
			tenant := "" // what is the same for all needs none
			if tenants := readsFrom(req.Context()); len(tenants) == 1 {
				tenant = tenants[0]
			}
			return serve(r.invocations, w, withoutTenantParam(req), tenant)
		}
	}
}
