package relay

import (
	"net/http"
	"strconv"

	"github.com/invoscope/invoscope/tenancy"
)

// admitted returns the handler of a route for those who may have more of what they
// pay for: an answer within the tenant's limits, for as long as it may go on. It
// decides, too, which tenants the answer is about: see [readsFrom].
//
// What is written counts once it is decoded: see [IngestLimits].
func (r *Relay) admitted(route Route, serve handler) handler {
	switch {
	case route.Scope == "" || route.Free && route.Scope == tenancy.InvocationsRead:
		return serve
	case route.Scope.Writes() || route.Scope == tenancy.Admin:
		return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
			if err := r.writes(req.Context(), id); err != nil {
				return err
			}
			return serve(w, req, id)
		}
	}
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		tenants, err := r.about(route, req, id)
		if err != nil {
			return err
		}
		req = req.WithContext(withReads(req.Context(), tenants))
		if route.Free {
			return serve(w, req, id)
		}
		begin := r.limits.Query
		if goesOn(route, req) {
			begin = r.limits.Tail
		}
		end, err := begin(tenants...)
		if err != nil {
			return limited(err)
		}
		defer end()
		if b := r.boundsOf(tenants); route.check != nil && b.any() {
			if err := route.check(b, req); err != nil {
				return err
			}
		}
		return serve(w, req, id)
	}
}

// about returns the tenants that a request reads.
func (r *Relay) about(route Route, req *http.Request, id tenancy.Identity) ([]string, error) {
	if route.Scope != tenancy.InvocationsRead {
		return r.federated(id)
	}
	tenant, err := r.chosen(req, id)
	return []string{tenant}, err
}

// goesOn reports whether an answer goes on until its client has enough. A timeline
// does if it is asked to follow.
func goesOn(route Route, req *http.Request) bool {
	if !route.Long || route.Scope != tenancy.InvocationsRead {
		return route.Long
	}
	follow, _ := strconv.ParseBool(req.URL.Query().Get("follow")) // else the API says what is wrong with it
	return follow
}
