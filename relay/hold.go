package relay

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
)

// held returns the handler of a route for as long as the token lasts: what comes of the
// request ends with it, also an upload whose body is still to come. A WebSocket is closed,
// a gRPC call gets its status, any other answer breaks off.
func (r *Relay) held(route Route, serve handler) handler {
	if route.Scope == "" {
		return serve
	}
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		ctx, release := r.opts.Authenticator.Hold(req.Context(), id)
		defer release()
		returned := false // a proxy's handler panics when its answer is cut off
		if x := exchangeOf(w); x != nil {
			if route.Long {
				x.begin()
			}
			defer x.interruptAfter(ctx)()
			defer func() {
				if cut := cutOff(ctx); cut != nil && !returned {
					x.reason = cut.Error()
				}
			}()
		}
		err := serve(w, req.WithContext(ctx), id)
		returned = true
		// An answer that is whole by then is left alone.
		if cut := cutOff(ctx); cut != nil && (err != nil || route.Long || route.Shape == fault.GRPC) {
			return cut
		}
		return err
	}
}

// interruptAfter keeps a handler from waiting for its client when ctx has ended for the
// token's sake. Call what it returns before the handler returns.
func (x *exchange) interruptAfter(ctx context.Context) (stop func()) {
	over := make(chan struct{})
	unused := context.AfterFunc(ctx, func() {
		defer close(over)
		x.closeConn() // whoever went away, too
		if cutOff(ctx) == nil {
			return
		}
		// A body is no longer waited for; and who doesn't read an answer gets time for what
		// is written of it, not more.
		control := http.NewResponseController(x.ResponseWriter)
		if x.route.Shape != fault.GRPC { // whose server sees to it, with a status
			_ = control.SetReadDeadline(time.Unix(1, 0))
		}
		if x.route.Long {
			_ = control.SetWriteDeadline(time.Now().Add(x.relay.writeTimeout))
		}
	})
	return func() {
		if !unused() {
			<-over // HTTP/2's ResponseWriter is gone when the handler has returned
		}
	}
}

// begin writes the first of a long request's two lines.
func (x *exchange) begin() {
	if x.relay.audits(x.route) {
		x.long = true
		x.record(audit.Begin)
	}
}

// heldBody is an engine's answer to a gRPC call. When the caller's token ends, so does
// the answer, with the status that says why.
type heldBody struct {
	io.ReadCloser
	ctx  context.Context
	resp *http.Response
}

// holdAnswer makes the answer end when its request's context does for the token's sake.
func holdAnswer(resp *http.Response) {
	ctx := resp.Request.Context()
	if !isGRPC(resp.Request) || ctx.Done() == nil {
		return
	}
	resp.Body = &heldBody{ReadCloser: resp.Body, ctx: ctx, resp: resp}
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	if cut := cutOff(b.ctx); cut != nil && err != io.EOF {
		e := fault.Of(cut)
		b.resp.Trailer = http.Header{
			"Grpc-Status":  {strconv.Itoa(int(e.Kind.GRPCCode()))},
			"Grpc-Message": {e.Message},
		}
		err = io.EOF
	}
	return n, err
}
