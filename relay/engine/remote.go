package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// RemoteOptions tell where a Loki or Tempo is that someone else runs.
type RemoteOptions struct {
	// URL is the base of the HTTP API: http or https, a host and optionally a
	// path prefix. gRPC queries go to its host, without the prefix.
	URL string
	// OTLPEndpoint is where Tempo takes traces by OTLP/gRPC: "host:port" or
	// "http://host:port" in plain text, "https://host:port" with TLS. Loki has none.
	OTLPEndpoint string
	// Header goes with every request and push, such as credentials of a gateway.
	// An X-Scope-OrgID in it is ignored: the tenant is that of the request or push.
	Header http.Header
	// ReadyPath is what is asked for readiness; "/ready" if empty. Any 2xx answer
	// will do. Gateways that hide it have something else to ask.
	ReadyPath string
	// TLS is used for https; nil for the system's certificate authorities.
	TLS *tls.Config
}

// Remote is a Loki or a Tempo, single or distributed, that someone else runs.
type Remote struct{ client *client }

var _ Engine = (*Remote)(nil)

// NewRemoteLoki makes an engine of the Loki at opts.URL. It doesn't connect.
func NewRemoteLoki(opts RemoteOptions) (*Remote, error) {
	c, err := newRemoteClient("loki", opts)
	if err != nil {
		return nil, err
	}
	c.pusher = lokiPusher{c}
	return &Remote{c}, nil
}

// NewRemoteTempo makes an engine of the Tempo at opts.URL and
// opts.OTLPEndpoint. It doesn't connect.
func NewRemoteTempo(opts RemoteOptions) (*Remote, error) {
	c, err := newRemoteClient("tempo", opts)
	if err != nil {
		return nil, err
	}
	target, err := remoteOTLP(opts)
	if err != nil {
		return nil, err
	}
	if c.pusher, err = newOTLPPusher(target); err != nil {
		return nil, err
	}
	return &Remote{c}, nil
}

func newRemoteClient(name string, opts RemoteOptions) (*client, error) {
	base, err := url.Parse(opts.URL)
	if err != nil {
		// The URL may hold a password: the parser's message would show it.
		return nil, fmt.Errorf("remote %s: not a URL", name)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("remote %s: want an http or https URL with a host", name)
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("remote %s: the URL may have a scheme, a host and a path only", name)
	}
	c := newClient(name, base, nil)
	c.header = configured(opts.Header)
	for _, transport := range []*http.Transport{c.http1, c.http2} {
		transport.TLSClientConfig = opts.TLS.Clone()
	}
	if opts.ReadyPath != "" {
		c.readyPath = "/" + strings.TrimPrefix(opts.ReadyPath, "/")
	}
	return c, nil
}

// configured is the header as set up, with canonical names and without the
// tenant, which is never the configuration's to choose.
func configured(header http.Header) http.Header {
	out := make(http.Header, len(header))
	for key, values := range header {
		for _, value := range values {
			out.Add(key, value)
		}
	}
	out.Del(TenantHeader)
	return out
}

func remoteOTLP(opts RemoteOptions) (otlpTarget, error) {
	target := otlpTarget{address: opts.OTLPEndpoint, creds: insecure.NewCredentials()}
	if scheme, rest, ok := strings.Cut(opts.OTLPEndpoint, "://"); ok {
		target.address = strings.TrimSuffix(rest, "/")
		switch scheme {
		case "http":
		case "https":
			target.creds = credentials.NewTLS(opts.TLS.Clone())
		default:
			return otlpTarget{}, fmt.Errorf("remote tempo: OTLP endpoint: unsupported scheme %q (want http or https)", scheme)
		}
	}
	host, port, err := net.SplitHostPort(target.address)
	if err != nil || host == "" || port == "" {
		return otlpTarget{}, errors.New("remote tempo: OTLP endpoint: want host:port")
	}
	for key, values := range configured(opts.Header) {
		for _, value := range values {
			target.header = append(target.header, strings.ToLower(key), value)
		}
	}
	return target, nil
}

// RoundTrip implements [Engine].
func (r *Remote) RoundTrip(req *http.Request) (*http.Response, error) {
	return r.client.RoundTrip(req)
}

// Push implements [Engine].
func (r *Remote) Push(ctx context.Context, tenant string, body []byte) error {
	return r.client.pusher.push(ctx, tenant, body)
}

// Ready implements [Engine].
func (r *Remote) Ready(ctx context.Context) error { return r.client.ready(ctx) }

// Run waits for ctx and then closes the connections. There is nothing to
// supervise; it is here so that both kinds of engine are run alike.
func (r *Remote) Run(ctx context.Context) error {
	<-ctx.Done()
	r.client.close()
	return nil
}
