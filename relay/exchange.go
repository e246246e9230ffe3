package relay

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
)

// unmatched stands for the route of requests that have none, in metrics.
const unmatched = "none"

// exchange is one request and its answer. It writes the answer through, and keeps what
// is to be known of it afterwards. http.ResponseController finds the rest of the
// ResponseWriter through Unwrap; gRPC's server asks for Flush itself.
type exchange struct {
	http.ResponseWriter
	relay *Relay
	route Route // the zero Route if no route matched
	req   *http.Request
	began time.Time

	id     tenancy.Identity
	reason string // why the request was refused, or its answer cut off
	status int
	out    int64
	conn   atomic.Pointer[countedConn] // once the connection has left HTTP
	body   *countedBody                // nil if nobody wants to know
	long   bool                        // the request's first line of two was written
	done   bool                        // the handler came to its end

	deadline time.Time // of writes; zero if they have none
}

// exchange begins one, and sets the time that the client has to take the answer.
func (r *Relay) exchange(route Route, w http.ResponseWriter, req *http.Request) *exchange {
	x := &exchange{ResponseWriter: w, relay: r, route: route, req: req, began: r.now()}
	if r.audits(route) {
		x.body = r.countBody(route, req)
	}
	switch {
	case req.ProtoMajor != 1: // the server sees to it
	case route.Long:
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // the last request's may hold still
	default:
		x.extend(time.Now())
	}
	return x
}

// request is the request as the handler gets it.
func (x *exchange) request() *http.Request {
	if x.body == nil {
		return x.req
	}
	req := *x.req
	req.Body = x.body
	return &req
}

// conclude writes the answer to a request whose handler failed.
func (x *exchange) conclude(err error) {
	if err == nil {
		x.done = true
		return
	}
	x.reason = err.Error()
	x.relay.logRefusal(x.req.Context(), x.route.Pattern, x.id, err)
	switch {
	case x.status == 0 && x.conn.Load() == nil:
		fault.Write(x, x.req, x.route.Shape, err)
	case x.conn.Load() == nil && x.route.Shape != fault.GRPC: // gRPC has trailers for that
		panic(http.ErrAbortHandler)
	}
	x.done = true
}

// finish tells of the request, whether its handler came to its end or not.
func (x *exchange) finish() {
	if !x.done && x.reason == "" {
		x.reason = "the answer was cut off"
		if x.req.Context().Err() != nil {
			x.reason = "the client went away"
		}
	}
	if !x.deadline.IsZero() {
		x.extend(time.Now()) // for what net/http has in its buffer
	}
	route := x.route.Pattern
	if route == "" {
		route = unmatched
	}
	x.relay.metrics.count(route, x.status)
	if x.relay.audits(x.route) {
		phase := audit.Whole
		if x.long {
			phase = audit.End
		}
		x.record(phase)
	}
}

// WriteHeader implements [http.ResponseWriter].
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= http.StatusOK {
		x.status = status
		x.secure()
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if !x.deadline.IsZero() {
		x.extend(time.Now())
	}
	n, err := x.ResponseWriter.Write(p)
	x.out += int64(n)
	return n, err
}

// extend gives the client its time anew, unless it has most of it still.
func (x *exchange) extend(now time.Time) {
	if x.deadline.Sub(now) > x.relay.writeTimeout*3/4 {
		return
	}
	x.deadline = now.Add(x.relay.writeTimeout)
	// It can't be set on a test's recorder, nor on a connection that is gone.
	_ = http.NewResponseController(x.ResponseWriter).SetWriteDeadline(x.deadline)
}

// Unwrap is for [http.ResponseController].
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// Flush implements [http.Flusher].
func (x *exchange) Flush() { _ = x.FlushError() }

// FlushError is Flush for [http.ResponseController].
func (x *exchange) FlushError() error {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(x.ResponseWriter).Flush()
}

// Hijack implements [http.Hijacker], for WebSockets.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	x.status = http.StatusSwitchingProtocols
	counted := &countedConn{Conn: conn}
	x.conn.Store(counted)
	return counted, rw, nil
}

// closeConn closes a connection that has left HTTP.
func (x *exchange) closeConn() {
	if conn := x.conn.Load(); conn != nil {
		_ = conn.Close() // the handler may have done so
	}
}

// exchangeOf returns the exchange that a handler writes to.
func exchangeOf(w http.ResponseWriter) *exchange {
	for {
		switch v := w.(type) {
		case *exchange:
			return v
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return nil
		}
	}
}

// hstsValue makes browsers use TLS for a year.
const hstsValue = "max-age=31536000"

// enginesOwn are header fields, in canonical form, in which an engine, or what is in
// front of it, would speak for the address that the client asked.
var enginesOwn = [...]string{"Server", "X-Powered-By", "Set-Cookie", "Strict-Transport-Security", "Alt-Svc"}

// secure sets the header fields that keep browsers from making more of an answer than
// it is, and from keeping it. What an engine says of caching holds.
func (x *exchange) secure() {
	h := x.Header()
	for _, name := range enginesOwn {
		delete(h, name)
	}
	if isGRPC(x.req) {
		return
	}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Referrer-Policy"] = []string{"no-referrer"}
	h["Content-Security-Policy"] = []string{"default-src 'none'; frame-ancestors 'none'"}
	if h["Cache-Control"] == nil {
		h["Cache-Control"] = []string{"no-store"}
	}
	if x.req.TLS != nil {
		h["Strict-Transport-Security"] = []string{hstsValue}
	}
}

// cutOff returns why a request is no longer served, if its token is the reason.
func cutOff(ctx context.Context) error {
	cause := context.Cause(ctx)
	if ctx.Err() == nil || tenancy.ReasonOf(cause) == "" {
		return nil
	}
	return &fault.Error{Kind: fault.Unauthenticated, Message: invalidToken, Cause: cause}
}
