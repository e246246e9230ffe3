package relay

import (
	"net/http"
	"time"
)

// bodyTimeout is how long a request's body may take to arrive. The largest that
// is taken by default, 10 MiB, then needs 1.4 Mbit/s.
const bodyTimeout = time.Minute

// limitBodies ends requests whose body doesn't arrive in time. net/http reads
// what is left of a body before it writes an answer, a 401 or 404 as well, so
// without this a stranger could hold connections for ever. It leaves out gRPC,
// which is HTTP/2, where an answer doesn't wait for the body.
//
// Answers may take longer: net/http drops the deadline when it has read the
// body, and sets its own for the next request. A request without a body must not
// get one: net/http already reads on to learn whether its client is still there,
// and would take the deadline for a client that went away.
func (r *Relay) limitBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Body != nil && req.Body != http.NoBody && !isGRPC(req) {
			// It can't be set on a test's recorder, nor on a connection that is gone.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(r.bodyTimeout))
		}
		next.ServeHTTP(w, req)
	})
}
