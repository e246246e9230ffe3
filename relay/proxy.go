package relay

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/invoscope/invoscope/relay/engine"
	"github.com/invoscope/invoscope/relay/fault"
	"github.com/invoscope/invoscope/tenancy"
)

func toLoki(r *Relay) handler  { return r.loki }
func toTempo(r *Relay) handler { return r.tempo }

// relayTo returns a handler that passes requests on to an engine and its answers
// back, unchanged and as they come: streams, trailers and WebSockets too.
func (r *Relay) relayTo(e engine.Engine) handler {
	proxy := httputil.ReverseProxy{
		Rewrite:       rewrite,
		Transport:     e,
		FlushInterval: -1,
		BufferPool:    &bufferPool{},
		ModifyResponse: func(resp *http.Response) error {
			holdAnswer(resp)
			return nil
		},
		// What it has to say is that somebody went away in the middle.
		ErrorLog: slog.NewLogLogger(r.opts.Log.Handler(), slog.LevelInfo),
	}
	return func(w http.ResponseWriter, req *http.Request, _ tenancy.Identity) error {
		if len(readsFrom(req.Context())) == 0 {
			return errors.New("a query reached an engine without a tenant")
		}
		var failed error
		p := proxy
		p.ErrorHandler = func(_ http.ResponseWriter, req *http.Request, err error) { failed = engineFault(req.Context(), err) }
		p.ServeHTTP(w, req)
		return failed
	}
}

// tailPath is the one endpoint that is a WebSocket.
const tailPath = "/loki/api/v1/tail"

// rewrite leaves the request as it is but for who is asking: the engine hears of
// the tenants that the token reads and never of the token. Nor may a client change protocols
// (to h2c, say) and go on talking to the engine past the table.
func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme, p.Out.URL.Host = "http", "engine"
	p.Out.Host = ""
	p.Out.Header.Del("Authorization")
	p.Out.Header.Del("Cookie")
	p.Out.Trailer = nil // no API has any
	p.Out.Header.Del(lookupHeader)
	p.Out.Header.Set(engine.TenantHeader, orgID(readsFrom(p.In.Context())))
	if p.In.URL.Path != tailPath || !strings.EqualFold(p.Out.Header.Get("Upgrade"), "websocket") {
		p.Out.Header.Del("Connection")
		p.Out.Header.Del("Upgrade")
	}
	// ReverseProxy drops a query it can't parse; the engine should say what is
	// wrong with it.
	p.Out.URL.RawQuery = p.In.URL.RawQuery
}

// retryUnavailable is about how long an engine takes to come back.
const retryUnavailable = time.Second

func engineFault(ctx context.Context, err error) error {
	if cut := cutOff(ctx); cut != nil {
		return cut
	}
	if ctx.Err() != nil {
		return &fault.Error{Kind: fault.Unavailable, Message: "the request was cancelled", Cause: err}
	}
	return &fault.Error{Kind: fault.Unavailable, Message: "the engine is not available, try again", RetryAfter: retryUnavailable, Cause: err}
}

const bufferBytes = 32 << 10

// bufferPool lends ReverseProxy the buffers it copies bodies with.
type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() []byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, bufferBytes)
}

func (b *bufferPool) Put(buf []byte) { b.pool.Put(&buf) }
