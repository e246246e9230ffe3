package engine

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// idleConnections is how many unused connections to an engine are kept. A
	// Grafana dashboard opens dozens of queries at once.
	idleConnections = 128

	// maxMessage bounds, in bytes, what is quoted of an engine's answer.
	maxMessage = 1024
)

// dialFunc opens a connection to the engine; network and address are hints.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// pusher delivers encoded requests of one signal to an engine.
type pusher interface {
	push(ctx context.Context, tenant string, body []byte) error
	// ready returns nil when the engine can take data.
	ready(ctx context.Context) error
	close()
}

// client speaks to one engine at one address. A remote engine is a client; an
// embedded one is a client and the process behind the address.
type client struct {
	name      string      // "loki" or "tempo"
	base      *url.URL    // scheme, host and optional path prefix of the HTTP API
	header    http.Header // sent with every request, over what the caller set; never the tenant
	readyPath string
	http1     *http.Transport // everything but gRPC; WebSockets need HTTP/1.1
	http2     *http.Transport // gRPC
	pusher    pusher
}

// newClient makes a client without a pusher. With dial nil, connections are
// made to the host of base.
func newClient(name string, base *url.URL, dial dialFunc) *client {
	c := &client{name: name, base: base, readyPath: "/ready"}
	c.http1 = newTransport(dial)
	c.http1.Protocols.SetHTTP1(true)
	c.http2 = newTransport(dial)
	c.http2.Protocols.SetUnencryptedHTTP2(base.Scheme == "http")
	c.http2.Protocols.SetHTTP2(base.Scheme == "https")
	return c
}

func newTransport(dial dialFunc) *http.Transport {
	t := &http.Transport{
		Protocols:           new(http.Protocols),
		DialContext:         dial,
		MaxIdleConnsPerHost: idleConnections,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		// The relay passes Accept-Encoding and bodies through as they are.
		DisableCompression: true,
	}
	if dial == nil {
		t.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// RoundTrip implements [http.RoundTripper].
func (c *client) RoundTrip(req *http.Request) (*http.Response, error) {
	transport := c.http1
	grpc := isGRPC(req)
	if grpc {
		transport = c.http2
	}
	resp, err := transport.RoundTrip(c.outgoing(req, grpc))
	if err != nil {
		if ctxErr := req.Context().Err(); ctxErr != nil {
			return nil, fmt.Errorf("ask %s: %w", c.name, ctxErr)
		}
		return nil, fmt.Errorf("ask %s: %w: %w", c.name, ErrUnavailable, err)
	}
	resp.Request = req
	return resp, nil
}

// outgoing is the request as the engine gets it. The path prefix isn't for
// gRPC, whose clients know methods only.
func (c *client) outgoing(req *http.Request, grpc bool) *http.Request {
	out := req.Clone(req.Context())
	out.RequestURI, out.Host = "", ""
	out.URL.Scheme, out.URL.Host = c.base.Scheme, c.base.Host
	if !grpc {
		rawPath := strings.TrimSuffix(c.base.EscapedPath(), "/") + req.URL.EscapedPath()
		out.URL.Path = strings.TrimSuffix(c.base.Path, "/") + req.URL.Path
		// The escaped form is kept: engines tell %2F from a slash.
		out.URL.RawPath = rawPath
	}
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	for key, values := range c.header {
		out.Header[key] = values
	}
	return out
}

func isGRPC(req *http.Request) bool {
	return req.ProtoMajor == 2 && strings.HasPrefix(req.Header.Get("Content-Type"), "application/grpc")
}

// ready asks the engine itself, for queries and for data.
func (c *client) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+c.readyPath, nil)
	if err != nil {
		return fmt.Errorf("ask %s whether it is ready: %w", c.name, err)
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		return err
	}
	message := readMessage(resp)
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %w: %s: %s", c.name, ErrUnavailable, resp.Status, message)
	}
	if err := c.pusher.ready(ctx); err != nil {
		return fmt.Errorf("%s: %w: can't take data: %w", c.name, ErrUnavailable, err)
	}
	return nil
}

// close gives up the pooled connections. Requests under way go on.
func (c *client) close() {
	c.http1.CloseIdleConnections()
	c.http2.CloseIdleConnections()
	c.pusher.close()
}

// readMessage reads the beginning of an answer's body, and closes it. What is
// left of a short one is read too, so that the connection can be used again.
func readMessage(resp *http.Response) string {
	defer resp.Body.Close()
	message, _ := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	return strings.TrimSpace(strings.ToValidUTF8(string(message), "\uFFFD"))
}
