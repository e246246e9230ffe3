package relay

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
	"github.com/invoscope/invoscope/tenancy/audit"
)

// held returns the handler of a route whose answer may outlive the token: it ends with
// it. A WebSocket is closed, a gRPC call gets its status, any other answer breaks off.
func (r *Relay) held(route Route, serve handler) handler {
	if !route.Long {
		return serve
	}
	return func(w http.ResponseWriter, req *http.Request, id tenancy.Identity) error {
		ctx, release := r.opts.Authenticator.Hold(req.Context(), id)
		defer release()
		x := exchangeOf(w)
		if x != nil {
			x.begin()
			// A handler that is writing to a client that doesn't read would not notice.
			defer context.AfterFunc(ctx, x.closeConn)()
			defer func() {
				if err := cutOff(ctx); err != nil && x.reason == "" {
					x.reason = err.Error() // the handler may not return
				}
			}()
		}
		err := serve(w, req.WithContext(ctx), id)
		if cut := cutOff(ctx); cut != nil {
			return cut
		}
		return err
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
