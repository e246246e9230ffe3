package relay

import (
	"net/http"
	"strings"
	"time"

	"github.com/invoscope/invoscope/relay/fault"
)

const (
	// bodyTimeout is how long a request's body may take to arrive. The largest that
	// is taken by default, 10 MiB, then needs 1.4 Mbit/s.
	bodyTimeout = time.Minute
	// writeTimeout is how long a client may take to accept one piece of an answer, of
	// at most 32 KiB from an engine.
	writeTimeout = time.Minute
	// maxFields is how many values of header fields a request may have. Grafana sends
	// about twenty.
	maxFields = 128
)

// edge is what every request meets first, on its way to a table of routes.
func (r *Relay) edge(table http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.limitBody(w, req)
		if err := checkTarget(req); err != nil {
			r.refuse(w, req, err)
			return
		}
		table.ServeHTTP(w, req)
	})
}

// limitBody ends requests whose body doesn't arrive in time. net/http reads
// what is left of a body before it writes an answer, a 401 or 404 as well, so
// without this a stranger could hold connections for ever. It leaves out gRPC,
// which is HTTP/2, where an answer doesn't wait for the body.
//
// Answers may take longer: net/http drops the deadline when it has read the
// body, and sets its own for the next request. A request without a body must not
// get one: net/http already reads on to learn whether its client is still there,
// and would take the deadline for a client that went away.
func (r *Relay) limitBody(w http.ResponseWriter, req *http.Request) {
	if req.Body != nil && req.Body != http.NoBody && !isGRPC(req) {
		// It can't be set on a test's recorder, nor on a connection that is gone.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(r.bodyTimeout))
	}
}

// checkTarget refuses what no client of these APIs asks for, and what programs along
// the way might read in different ways. The table never sees it: it would redirect
// some of it.
func checkTarget(req *http.Request) error {
	path := req.URL.EscapedPath()
	switch {
	// "*", the authority of CONNECT, and absolute URLs, whose host may not be the one
	// in the Host header. RequestURI is empty in requests that came over no wire.
	case req.Method == http.MethodConnect, req.RequestURI != "" && req.RequestURI[0] != '/':
		return fault.New(fault.Invalid, "the request's target is not a path")
	case strings.ContainsAny(req.Host, "@/\\,?# \t"):
		return fault.New(fault.Invalid, "the host is not a name")
	case hasDotSegment(req.URL.Path):
		return fault.New(fault.Invalid, "the path has a dot segment")
	case !strings.HasPrefix(path, "/"), strings.Contains(path, "//"):
		return fault.New(fault.NotFound, "there is nothing here")
	}
	fields := 0
	for _, values := range req.Header {
		fields += len(values)
	}
	if fields > maxFields {
		return fault.New(fault.TooManyFields, "the request has too many header fields")
	}
	return nil
}

// hasDotSegment reports whether a decoded path has . or .. in it: an engine's router
// might resolve what ours passed on. A backslash might be taken for a slash.
func hasDotSegment(path string) bool {
	if !strings.Contains(path, ".") {
		return false
	}
	for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// spelled reports whether an escaped path is written as a pattern that it matches is:
// letters of the pattern may not come encoded. Only what stands for a {name} may.
func spelled(pattern, path string) bool {
	for pattern != "" && path != "" {
		var want, got string
		want, pattern = firstSegment(pattern)
		got, path = firstSegment(path)
		if want != got && !strings.HasPrefix(want, "/{") {
			return false
		}
	}
	return pattern == path
}

// firstSegment cuts a path in two, each with its slash in front.
func firstSegment(path string) (first, rest string) {
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[:i+1], path[i+1:]
	}
	return path, ""
}
