package relay

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"

	"google.golang.org/grpc/codes"

	"github.com/invoscope/invoscope/tenancy/audit"
	"github.com/invoscope/invoscope/tenancy/redact"
)

// audits reports whether a line is written about requests to a route. An open route
// has nobody's data, and is asked every second.
func (r *Relay) audits(route Route) bool {
	return r.opts.Audit != nil && (route.Scope != "" || route.Pattern == "")
}

// auditsQueries reports whether lines have the text of queries.
func (r *Relay) auditsQueries() bool { return r.opts.AuditQueries != nil && r.opts.AuditQueries() }

// record tells the auditor what is known of the request by now.
func (x *exchange) record(phase audit.Phase) {
	rec := audit.Record{
		Time: x.began, Phase: phase, Identity: x.id, Method: x.req.Method, Route: x.route.Pattern,
		Host: x.req.Host, Remote: x.req.RemoteAddr, Reason: x.reason,
	}
	if rec.Route == "" {
		rec.Path = pathOf(x.req.URL)
		if rec.Path == "" {
			rec.Path = x.req.RequestURI
		}
	}
	if phase != audit.Begin {
		rec.Status, rec.Code = max(x.status, 0), grpcCode(x.Header())
		if rec.Status == 0 && x.done {
			rec.Status = http.StatusOK
		}
		rec.Out = x.out
		rec.Took = x.relay.now().Sub(x.began)
		if x.body != nil {
			rec.In = x.body.n.Load()
		}
		if conn := x.conn.Load(); conn != nil {
			rec.In, rec.Out = rec.In+conn.in.Load(), rec.Out+conn.out.Load()
		}
	}
	if x.relay.auditsQueries() && x.id.Issuer+x.id.Tenant != "" {
		rec.Query = x.query()
	}
	x.relay.opts.Audit.Record(&rec)
}

// pathOf is a path as it came, or decoded if that is what shows a secret in it.
func pathOf(u *url.URL) string {
	if redact.String(u.Path) != u.Path {
		return u.Path
	}
	return u.EscapedPath()
}

// grpcCode is the name of the gRPC code in an answer's header or trailer.
func grpcCode(h http.Header) string {
	value := h.Get("Grpc-Status")
	if value == "" {
		value = h.Get(http.TrailerPrefix + "Grpc-Status")
	}
	if value == "" {
		return ""
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return codes.Unknown.String()
	}
	return codes.Code(n).String()
}

// countedBody is a request's body of which the bytes are counted, and the first kept
// when there is a query in them. A proxy may still read it when its handler is done.
type countedBody struct {
	io.ReadCloser
	n    atomic.Int64
	head *bodyHead
}

// countBody returns nil if there is no body.
func (r *Relay) countBody(route Route, req *http.Request) *countedBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	b := &countedBody{ReadCloser: req.Body}
	if r.auditsQueries() && isQuery(route) {
		b.head = &bodyHead{}
	}
	return b
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	if b.head != nil {
		b.head.keep(p[:n])
	}
	return n, err
}

// countedConn is a connection that has left HTTP.
type countedConn struct {
	net.Conn
	in, out atomic.Int64
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out.Add(int64(n))
	return n, err
}
